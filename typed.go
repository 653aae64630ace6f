package kvdb

import (
	"encoding/json"
	"errors"
	"fmt"
)

// GetAs returns the value at key, decoded from JSON into a T, and the pair. If the value
// cannot be decoded, it returns the pair and an error that wraps [ErrUnmarshal] and the
// error of encoding/json.
func GetAs[T any](kv Kvdb, key string) (T, *KVPair, error) {
	var value T
	pair, err := kv.GetVal(key, &value)
	if errors.Is(err, ErrUnmarshal) && pair != nil {
		if cause := json.Unmarshal(pair.Value, new(T)); cause != nil { // GetVal does not return it
			err = undecodable(key, cause)
		}
	}
	return value, pair, err
}

// Typed is a pair with its value decoded.
type Typed[T any] struct {
	Pair  *KVPair // as Enumerate returns it
	Value T       // decoded from JSON
}

// EnumerateAs returns the pairs of Enumerate(prefix), with each value decoded from JSON
// into a T. If a value cannot be decoded, it returns an error that names the key and
// wraps [ErrUnmarshal].
func EnumerateAs[T any](kv Kvdb, prefix string) ([]Typed[T], error) {
	pairs, err := kv.Enumerate(prefix)
	if err != nil {
		return nil, err
	}
	typed := make([]Typed[T], len(pairs))
	for i, pair := range pairs {
		typed[i].Pair = pair
		if err := json.Unmarshal(pair.Value, &typed[i].Value); err != nil {
			return nil, undecodable(pair.Key, err)
		}
	}
	return typed, nil
}

// undecodable returns the error of a value that cannot be decoded.
func undecodable(key string, cause error) error {
	return fmt.Errorf("%w: key %q: %w", ErrUnmarshal, key, cause)
}

// ModifyAs replaces the value at key by the result of modify, and returns the pair that
// it wrote. Values are encoded as JSON. If somebody else writes the key meanwhile,
// ModifyAs starts again with the new value, so modify may be called several times and
// must have no side effects. If the key does not exist, exists is false and the key is
// created. An error of modify is returned unchanged. The pair has no TTL afterwards.
func ModifyAs[T any](kv Kvdb, key string, modify func(value T, exists bool) (T, error)) (*KVPair, error) {
	for {
		value, pair, err := GetAs[T](kv, key)
		exists := err == nil
		if errors.Is(err, ErrNotFound) {
			pair = &KVPair{Key: key}
		} else if err != nil {
			return nil, err
		}
		if value, err = modify(value, exists); err != nil {
			return nil, err
		}
		encoded, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("%w: value of key %q: %w", ErrIllegal, key, err)
		}
		written, err := kv.CompareAndSet(
			&KVPair{Key: key, Value: encoded, ModifiedIndex: pair.ModifiedIndex}, KVModifiedIndex, nil)
		if errors.Is(err, ErrModified) || errors.Is(err, ErrNotFound) {
			continue
		}
		return written, err
	}
}
