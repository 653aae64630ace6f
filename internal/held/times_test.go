package held

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The margin and the time between two requests keep their shares of the TTL, up to 10 s between
// two requests.
func TestFit(t *testing.T) {
	times := Times{TTL: 16 * time.Second, Margin: time.Second, Every: 2 * time.Second}
	require.Equal(t, times, times.Fit(times.TTL))
	require.Equal(t, Times{TTL: 8 * time.Second, Margin: time.Second / 2, Every: time.Second}, times.Fit(8*time.Second))
	require.Equal(t, Times{TTL: 24 * time.Hour, Margin: 90 * time.Minute, Every: 10 * time.Second}, times.Fit(24*time.Hour))
}
