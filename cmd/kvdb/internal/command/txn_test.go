package command

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTxn(t *testing.T) {
	sh := newShell(t)
	sh.ok("put", "a", "1")
	sh.ok("put", "old", "1")
	sh.in(`{"op":"check","key":"a","value":"1","modified":1,"created":1,"exists":true}
{"op":"check","key":"none","exists":false}

{"op":"put","key":"a","value":"2","ttl":3600}
{"op":"put","key":"b","value":"AP8=","encoding":"base64"}
{"op":"delete","key":"old"}
{"op":"delete","key":"missing"}`).ok("txn")
	require.Equal(t, "a\nb\n", sh.ok("ls"))
	require.Equal(t, "2", sh.ok("get", "a"))
	require.Equal(t, "\x00\xff", sh.ok("get", "b"))
	require.Equal(t, "1h0m0s\n", steady(sh.ok("ttl", "a")))

	const put = "\n" + `{"op":"put","key":"x","value":"1"}`
	for check, want := range map[string]string{
		`"key":"a","value":"1"`:      `key "a": it has another value; nothing was applied`,
		`"key":"a","modified":1`:     `it was modified at index `,
		`"key":"a","created":9`:      `it was created at index 1`,
		`"key":"a","exists":false`:   `it exists`,
		`"key":"none","exists":true`: `it does not exist`,
		`"key":"none","value":""`:    `it does not exist`,
	} {
		sh.in(`{"op":"check",`+check+`}`+put).fails(exitConflict, want, "txn")
	}
	file := filepath.Join(t.TempDir(), "txn")
	require.NoError(t, os.WriteFile(file, []byte(put), 0o600))
	sh.ok("txn", "--dry-run", file)
	require.Equal(t, "a\nb\n", sh.ok("ls"), "nothing was applied")
	sh.ok("txn", file)
	require.Equal(t, "1", sh.ok("get", "x"))
}

func TestTxnInput(t *testing.T) {
	sh := newShell(t)
	for text, want := range map[string]string{
		"":                       "there are no operations",
		"\nx":                    "line 2: invalid character",
		`{"op":"put","key":"a"}`: "line 1: a put has a value",
		`{"op":"put","key":"a","value":"1","exists":true}`:           "no condition",
		`{"op":"check","key":"a"}`:                                   "a check has one or more of",
		`{"op":"check","key":"a","exists":true,"ttl":1}`:             "no ttl",
		`{"op":"delete","key":"a","value":"1"}`:                      "a delete has a key only",
		`{"op":"rm","key":"a"}`:                                      `the op "rm" must be check, put or delete`,
		`{"op":"put","key":"a","value":"1"} {}`:                      "nothing behind it",
		`{"op":"put","kye":"a","value":"1"}`:                         `unknown field "kye"`,
		`{"op":"put","key":"a","value":"=","encoding":"base64"}`:     "illegal base64",
		`{"op":"put","key":"a","value":"1","encoding":"rot13"}`:      `the encoding "rot13" is not known`,
		`{"op":"put","key":"a","value":"1","ttl":-1}`:                "whole seconds",
		`{"op":"put","key":"a","key_encoding":"base64","value":"1"}`: "illegal base64",
		`{"op":"put","key":"a","value":"1","ttl":9300000000}`:        "not too large",
	} {
		sh.in(text).fails(exitUsage, want, "txn")
	}
	sh.fails(exitUsage, "no such file", "txn", "missing")
	sh.in(`{"op":"put","key":"","value":"1"}`).fails(exitIllegal, "Illegal operation", "txn")
	require.Empty(t, sh.ok("ls"))
}

// Any input is read or refused with one line.
func FuzzReadOperations(f *testing.F) {
	for _, seed := range []string{`{"op":"put","key":"a","value":"1"}`, `{"op":"check","key":"a","exists":true}`, "\n\n{", `{"op":"delete","key":"YQ==","key_encoding":"base64"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		operations, err := readOperations(text)
		if err != nil {
			require.Empty(t, operations)
			_, message := exitOf(t.Context(), err)
			require.NotContains(t, message, "\n")
			return
		}
		for _, o := range operations {
			require.Contains(t, []string{"check", "put", "delete"}, o.Op)
		}
	})
}
