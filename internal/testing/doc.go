// Package testing has the development tools in its folders. No program that uses kvdb links
// them.
//
//	bench         measures kvdb against the raw stores; writes BENCHMARKS.md
//	faults        loads a cluster while its members die, freeze and are cut off
//	matrix        writes the table in docs/capabilities.md from reports of the suite
//	modeltest     compares mem and bolt with models, by random operations
//	optionstable  writes the table in docs/options.md from the declared options
//	pages         tests of the pages and doc comments: links, lines, Go code, examples
//	security      tests of certificates and permissions that several stores share
//	backups       tests of package backup between all pairs of stores
//	transfers     tests of package transfer between all pairs of stores
//	surface       tests of the exported names, the modules and the imports of packages
package testing
