package backup

// Phase is what a backup or a restore does at the moment.
type Phase string

// The phases, in their order. A backup has only PhaseWrite and PhaseDone.
const (
	PhaseVerify  Phase = "verify"  // read the whole backup
	PhaseCompare Phase = "compare" // compare it with the store
	PhaseWrite   Phase = "write"   // write pairs
	PhaseDone    Phase = "done"
)

// Progress is what a backup or a restore has done so far.
type Progress struct {
	// Phase is the present phase.
	Phase Phase `json:"phase"`
	// Pairs is the number of pairs of the backup that this phase has read or written, and
	// Bytes the size of their keys and values.
	Pairs int   `json:"pairs"`
	Bytes int64 `json:"bytes"`
	// Total is the number of pairs in the backup. It is 0 until that is known.
	Total int `json:"total,omitempty"`
}
