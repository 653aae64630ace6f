// Package pages has the tests of the repository's pages: their links, their
// lines, and the Go code in them.
package pages
