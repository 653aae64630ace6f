package tree

// Source is a store whose state is a Tree. From copies of the tree the engine makes
// snapshots, and the pages of an enumeration with several pages.
type Source interface {
	// Freeze returns a copy of the state, and its index. Pairs whose keys have none of
	// prefixes may be missing. If mark is true, the index is larger than that of each pair,
	// and no change has it.
	Freeze(prefixes []string, mark bool) (*Tree, uint64, error)
}
