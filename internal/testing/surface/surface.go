// Package surface has tests of the module's packages as a whole. Programs outside of the
// module that use the exported names keep compiling, a build gets only the modules that it
// needs, and packages import only packages of the layers below them.
//
// Each folder of testdata is a program that assigns everything that one package exports to
// variables of its exact type. A new package needs one more folder, and a row in the table
// layers.
package surface
