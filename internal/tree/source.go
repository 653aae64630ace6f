package tree

// Source is a store whose state is a Tree. The engine makes snapshots of it, and the
// pages of an enumeration that has several, from a copy.
type Source interface {
	// Freeze returns a copy of the state, in which pairs may be missing whose keys have
	// none of prefixes, and the index of the state. With mark the index is larger than
	// that of each pair, and no change has it.
	Freeze(prefixes []string, mark bool) (*Tree, uint64, error)
}
