// Package surface checks what programs outside of the module rely on: that the
// exported names keep compiling, and that a build gets no module it does not
// need. All of it is tests. Each folder of testdata is a program that assigns
// what one package exports to variables of its exact type; a new package is
// added with one more folder.
package surface
