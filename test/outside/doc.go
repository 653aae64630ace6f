// Package outside is a module of its own, as a program that uses the library is.
// Its tests call the entry points that programs have always called, on every
// store, with no endpoints and no options: those are servers at the default ports
// of this machine, which the tests start themselves.
package outside
