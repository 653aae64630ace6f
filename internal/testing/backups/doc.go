// Package backups tests package backup on all stores, on real servers.
package backups
