package backup

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
)

// FuzzVerify reads what is not a backup, or nearly one.
func FuzzVerify(f *testing.F) {
	files := []file{
		{name: metaName, content: someMeta}, {name: dataName(1), content: someLine},
		{name: endName, content: endOf(someLine)}, {name: listing},
	}
	whole := pack(f, "", files...)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, backup []byte) {
		_, err := Verify(bytes.NewReader(backup))
		_, inspected := Inspect(bytes.NewReader(backup))
		if err == nil {
			require.NoError(t, inspected)
		}
	})
}

// FuzzContent reads backups whose checksums are right, but whose content may be anything. What
// is accepted is the same when it is written again.
func FuzzContent(f *testing.F) {
	f.Add(someMeta, someLine, endOf(someLine))
	f.Add(someMeta, `{"kb":"/w==","v":"","c":1,"m":1,"t":5}`+"\n", "{}")
	f.Add(`{"version":2}`, "", "")
	f.Fuzz(func(t *testing.T, meta, data, end string) {
		if e := endOf(data); end == "" {
			end = e
		}
		backup := pack(t, "", file{name: metaName, content: meta}, file{name: dataName(1), content: data},
			file{name: endName, content: end}, file{name: listing})
		info, err := Verify(bytes.NewReader(backup))
		if err != nil {
			return
		}
		pairs := pairsIn(t, backup)
		require.Len(t, pairs, info.Pairs)
		for i, pair := range pairs {
			require.True(t, i == 0 || pairs[i-1].Key < pair.Key)
			again, err := decodePair(encodePair(&pair, pair.TTL))
			require.NoError(t, err)
			require.Equal(t, &pair, again)
			require.NotEqual(t, kvdb.KVDelete, again.Action)
		}
	})
}
