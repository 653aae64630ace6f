package common

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/settings"
)

// versionTimeout bounds Version.
const versionTimeout = 10 * time.Second

// Version returns the API that the etcd at uri speaks: [kvdb.EtcdBaseVersion] or
// [kvdb.EtcdVersion3]. Options are those of New; Version uses those about TLS. It
// returns within 10 s, with an error that wraps [kvdb.ErrNoConnection] when the server
// cannot be reached.
func Version(uri string, options map[string]string) (string, error) {
	read, err := settings.Etcd3.Read([]string{uri}, options)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	if read.TLS != nil {
		transport.TLSClientConfig = read.TLS.Config("")
	}
	body, err := get(read.Endpoints[0].URL()+"/version", transport)
	if err != nil {
		return "", fmt.Errorf("%w: ask %s for its version: %w", kvdb.ErrNoConnection, uri, err)
	}
	var answer struct {
		Server string `json:"etcdserver"`
	}
	if json.Unmarshal(body, &answer) != nil { // Servers before 2.0 answer in plain text.
		return kvdb.EtcdBaseVersion, nil
	}
	switch major, _, _ := strings.Cut(answer.Server, "."); major {
	case "1", "2":
		return kvdb.EtcdBaseVersion, nil
	case "3":
		return kvdb.EtcdVersion3, nil
	default:
		return "", fmt.Errorf("%s: etcd version %q is not supported: %w", uri, answer.Server, kvdb.ErrNotSupported)
	}
}

func get(url string, transport http.RoundTripper) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), versionTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, 1<<20))
}
