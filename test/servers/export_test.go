package servers

// Session and OpenSession let tests speak with ZooKeeper.
type Session = session

var OpenSession = openSession
