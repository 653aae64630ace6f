package kvdb

// Default ports of etcd.
const (
	// PeerPort is the port on which the members talk to each other.
	PeerPort = "2380"
	// ClientPort is the port on which clients send requests.
	ClientPort = "2379"
)

// MemberInfo describes a member of the cluster.
type MemberInfo struct {
	// PeerUrls are the URLs on which the other members reach this one.
	PeerUrls []string
	// ClientUrls are the URLs on which clients reach the member. A member that is down
	// has none.
	ClientUrls []string
	// Leader reports whether the member is the leader of the cluster.
	Leader bool
	// DbSize is the size in bytes of the member's database.
	DbSize int64
	// IsHealthy reports whether the member answers and serves requests.
	IsHealthy bool
	// ID is the member's ID as a string.
	ID string
	// Name is the member's name, empty before it has started.
	Name string
	// HasStarted reports whether the member has started.
	HasStarted bool
	// IsLearner reports whether the member is a learner, which does not vote.
	IsLearner bool
}

// Controller manages the members of the cluster, and the endpoints of the client.
type Controller interface {
	// AddMember adds a member to the cluster, and returns the peer URLs of all members
	// by name (by ID where a member has no name yet). Call it before the new member
	// starts.
	AddMember(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error)

	// AddLearner is the same as AddMember except that the new member is a learner. The
	// caller has to promote it to a voting member.
	AddLearner(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error)

	// RemoveMember removes the member with that name from the cluster. It returns nil
	// if there is none. The endpoints of the removed member leave GetEndpoints (not on
	// Consul, where endpoints are agents).
	RemoveMember(nodeName, nodeIP string) error

	// RemoveMemberByID is the same as RemoveMember for the member with that ID.
	RemoveMemberByID(memberID uint64) error

	// UpdateMember changes the address of a member, and returns the peer URLs of all
	// members by name.
	UpdateMember(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error)

	// ListMembers returns the members of the cluster by ID, also those that have not
	// started.
	ListMembers() (map[uint64]*MemberInfo, error)

	// SetEndpoints sets the endpoints of the client.
	SetEndpoints(endpoints []string) error

	// GetEndpoints returns the endpoints of the client.
	GetEndpoints() []string

	// Defragment compacts the database file of the member at endpoint. The timeout is
	// in seconds.
	Defragment(endpoint string, timeout int) error
}

// ControllerNotSupported is a Controller whose methods return [ErrNotSupported]. It is
// for implementations of [Kvdb] without cluster management.
var ControllerNotSupported = &controllerNotSupported{}

type controllerNotSupported struct{}

func (c *controllerNotSupported) AddMember(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	return nil, ErrNotSupported
}

func (c *controllerNotSupported) AddLearner(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	return nil, ErrNotSupported
}

func (c *controllerNotSupported) RemoveMember(nodeName, nodeIP string) error {
	return ErrNotSupported
}

func (c *controllerNotSupported) RemoveMemberByID(memberID uint64) error {
	return ErrNotSupported
}

func (c *controllerNotSupported) UpdateMember(nodeIP, nodePeerPort, nodeName string) (map[string][]string, error) {
	return nil, ErrNotSupported
}

func (c *controllerNotSupported) ListMembers() (map[uint64]*MemberInfo, error) {
	return nil, ErrNotSupported
}

func (c *controllerNotSupported) SetEndpoints(endpoints []string) error {
	return ErrNotSupported
}

func (c *controllerNotSupported) GetEndpoints() []string {
	return []string{}
}

func (c *controllerNotSupported) Defragment(endpoint string, timeout int) error {
	return ErrNotSupported
}
