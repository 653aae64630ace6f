// Package lockttl tests the option kvdb.LockTTLKey on the real servers: how long a lock lives
// whose holder is dead or cut off, when the holder itself gives it up, and which values are
// refused.
package lockttl
