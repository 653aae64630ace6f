package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReplace(t *testing.T) {
	replaced, err := replace("a\n"+begin+"old\n"+end+"b\n", "new\n")
	require.NoError(t, err)
	require.Equal(t, "a\n"+begin+"new\n"+end+"b\n", replaced)

	again, err := replace(replaced, "new\n")
	require.NoError(t, err)
	require.Equal(t, replaced, again)
}

func TestReplaceWithoutMarkers(t *testing.T) {
	for _, text := range []string{"", "a\n" + begin, "a\n" + end, end + begin} {
		_, err := replace(text, "new\n")
		require.Error(t, err, text)
	}
}
