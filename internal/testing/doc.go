// Package testing has, in its folders, the tools of development: benchmarks,
// faults, model tests, and what checks or generates the repository's pages. No
// program links them.
package testing
