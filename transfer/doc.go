// Package transfer compares the pairs of two stores and computes their digests.
package transfer
