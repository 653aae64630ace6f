package settings

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/test/servers"
)

func newCA(t *testing.T) *servers.CA {
	t.Helper()
	ca, err := servers.NewCA(t.TempDir())
	require.NoError(t, err)
	return ca
}

func issue(t *testing.T, ca *servers.CA, name string, leaf servers.Leaf) (certFile, keyFile string) {
	t.Helper()
	certFile, keyFile, err := ca.Issue(name, leaf)
	require.NoError(t, err)
	return certFile, keyFile
}

func content(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	return content
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, content, 0o600))
}

// The error names only the option of the bad file.
func TestBadFiles(t *testing.T) {
	ca := newCA(t)
	certFile, keyFile := issue(t, ca, "client", servers.Leaf{})
	_, otherKey := issue(t, ca, "other", servers.Leaf{})
	dir := t.TempDir()
	junk, cut, missing := filepath.Join(dir, "junk"), filepath.Join(dir, "cut"), filepath.Join(dir, "missing")
	write(t, junk, []byte("junk"))
	half := func(file string) string {
		whole := content(t, file)
		write(t, cut, whole[:len(whole)/2])
		return cut
	}
	cutKey := filepath.Join(dir, "cut-key")
	write(t, cutKey, content(t, keyFile)[:60])
	bundle := filepath.Join(dir, "bundle")
	write(t, bundle, slices.Concat(content(t, ca.File), content(t, half(ca.File))))
	names := []string{kvdb.CertFileKey, kvdb.CertKeyFileKey, kvdb.CAFileKey, kvdb.TrustedCAFileKey}
	for _, c := range []struct {
		options map[string]string
		named   []string
	}{
		{options(kvdb.CertFileKey, junk, kvdb.CertKeyFileKey, keyFile), []string{kvdb.CertFileKey}},
		{options(kvdb.CertFileKey, junk, kvdb.CertKeyFileKey, junk), []string{kvdb.CertFileKey}},
		{options(kvdb.CertFileKey, missing, kvdb.CertKeyFileKey, keyFile), []string{kvdb.CertFileKey}},
		{options(kvdb.CertFileKey, half(certFile), kvdb.CertKeyFileKey, keyFile), []string{kvdb.CertFileKey}},
		{options(kvdb.CertFileKey, keyFile, kvdb.CertKeyFileKey, keyFile), []string{kvdb.CertFileKey}},
		{options(kvdb.CertFileKey, dir, kvdb.CertKeyFileKey, keyFile), []string{kvdb.CertFileKey}},
		{options(kvdb.CertFileKey, certFile, kvdb.CertKeyFileKey, junk), []string{kvdb.CertKeyFileKey}},
		{options(kvdb.CertFileKey, certFile, kvdb.CertKeyFileKey, missing), []string{kvdb.CertKeyFileKey}},
		{options(kvdb.CertFileKey, certFile, kvdb.CertKeyFileKey, certFile), []string{kvdb.CertKeyFileKey}},
		{options(kvdb.CertFileKey, certFile, kvdb.CertKeyFileKey, cutKey), []string{kvdb.CertKeyFileKey}},
		{options(kvdb.CertFileKey, certFile, kvdb.CertKeyFileKey, otherKey), []string{kvdb.CertFileKey, kvdb.CertKeyFileKey}},
		{options(kvdb.CAFileKey, missing), []string{kvdb.CAFileKey}},
		{options(kvdb.CAFileKey, junk), []string{kvdb.CAFileKey}},
		{options(kvdb.CAFileKey, bundle), []string{kvdb.CAFileKey}},
		{options(kvdb.TrustedCAFileKey, junk, kvdb.CAFileKey, ca.File), []string{kvdb.TrustedCAFileKey}},
		{options(kvdb.TrustedCAFileKey, ca.File, kvdb.CAFileKey, junk), []string{kvdb.CAFileKey}},
	} {
		for name, store := range stores {
			_, err := store.Read([]string{"a"}, c.options)
			require.Error(t, err, "%s: %v", name, c.options)
			for _, option := range names {
				// TrustedCAFile ends in CAFile.
				require.Equal(t, slices.Contains(c.named, option), slices.Contains(words(err.Error()), option), "%s: %v: %v", option, c.options, err)
			}
		}
	}
}

func words(text string) []string {
	return slices.Collect(func(yield func(string) bool) {
		word := ""
		for _, c := range text + " " {
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
				word += string(c)
				continue
			}
			if !yield(word) {
				return
			}
			word = ""
		}
	})
}

// server accepts TLS connections. For each it reports the name in the client's certificate,
// or the error of the handshake.
type server struct {
	address string
	names   chan string
	errs    chan error
}

func serve(t *testing.T, config *tls.Config) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	s := &server{address: l.Addr().String(), names: make(chan string, 1), errs: make(chan error, 1)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			secured := tls.Server(conn, config)
			if err := secured.Handshake(); err != nil {
				s.errs <- err
			} else {
				name := ""
				if certs := secured.ConnectionState().PeerCertificates; len(certs) > 0 {
					name = certs[0].Subject.CommonName
				}
				s.names <- name
			}
			_ = secured.Close()
		}
	}()
	return s
}

// dial makes a connection and returns the name of the client's certificate that the server
// received.
func (s *server) dial(t *testing.T, secured *TLS) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
	require.NoError(t, err)
	conn, err = secured.Client(ctx, conn, s.address)
	if err == nil {
		defer conn.Close()
	}
	select {
	case name := <-s.names:
		return name, err
	case serverErr := <-s.errs:
		if err == nil {
			err = serverErr
		}
		return "", err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// config returns the configuration of a server with a certificate of ca. If clients is not
// nil, the server requires clients to have a certificate of it.
func config(t *testing.T, ca, clients *servers.CA, leaf servers.Leaf) *tls.Config {
	t.Helper()
	certFile, keyFile := issue(t, ca, "server", leaf)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	c := &tls.Config{Certificates: []tls.Certificate{pair}}
	if clients != nil {
		c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		require.True(t, c.ClientCAs.AppendCertsFromPEM(content(t, clients.File)))
	}
	return c
}

// A renewed certificate is used from the next handshake on. While one of its files is
// missing, incomplete or of another pair, the last usable certificate is used.
func TestRenewedPair(t *testing.T) {
	ca := newCA(t)
	s := serve(t, config(t, ca, ca, servers.Leaf{}))
	firstCert, firstKey := issue(t, ca, "first", servers.Leaf{CommonName: "first"})
	secondCert, secondKey := issue(t, ca, "second", servers.Leaf{CommonName: "second"})
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	write(t, certFile, content(t, firstCert))
	write(t, keyFile, content(t, firstKey))
	secured, err := ReadTLS(options(kvdb.CAFileKey, ca.File, kvdb.CertFileKey, certFile, kvdb.CertKeyFileKey, keyFile))
	require.NoError(t, err)
	uses := func(want, when string) {
		t.Helper()
		name, err := s.dial(t, secured)
		require.NoError(t, err, when)
		require.Equal(t, want, name, when)
	}
	uses("first", "at the start")
	newCert, newKey := content(t, secondCert), content(t, secondKey)
	write(t, certFile, nil)
	uses("first", "an empty file")
	write(t, certFile, newCert[:len(newCert)/2])
	uses("first", "half a certificate")
	write(t, certFile, newCert)
	uses("first", "a certificate without its key")
	require.NoError(t, os.Remove(keyFile))
	uses("first", "no key")
	write(t, keyFile, newKey[:len(newKey)/2])
	uses("first", "half a key")
	write(t, keyFile, newKey)
	uses("second", "both")
	write(t, certFile, content(t, firstCert))
	write(t, keyFile, content(t, firstKey))
	uses("first", "and back")
}

// Replaced authorities are used from the next handshake on. While their file is missing,
// empty or incomplete, the last usable ones are used.
func TestRotatedAuthorities(t *testing.T) {
	oldCA, newerCA := newCA(t), newCA(t)
	older, newer := serve(t, config(t, oldCA, nil, servers.Leaf{})), serve(t, config(t, newerCA, nil, servers.Leaf{}))
	file := filepath.Join(t.TempDir(), "authorities")
	oldPEM, newPEM := content(t, oldCA.File), content(t, newerCA.File)
	write(t, file, oldPEM)
	secured, err := ReadTLS(options(kvdb.TrustedCAFileKey, file))
	require.NoError(t, err)
	trusts := func(wantOlder, wantNewer bool, when string) {
		t.Helper()
		for s, want := range map[*server]bool{older: wantOlder, newer: wantNewer} {
			_, err := s.dial(t, secured)
			if want {
				require.NoError(t, err, when)
			} else {
				require.ErrorContains(t, err, "unknown authority", when)
			}
		}
	}
	trusts(true, false, "at the start")
	write(t, file, nil)
	trusts(true, false, "empty")
	write(t, file, newPEM[:len(newPEM)/2])
	trusts(true, false, "half of the new one")
	both := slices.Concat(newPEM, oldPEM)
	write(t, file, both[:len(newPEM)+len(oldPEM)/2])
	trusts(true, false, "the new one and half of the old one")
	write(t, file, both)
	trusts(true, true, "both")
	require.NoError(t, os.Remove(file))
	trusts(true, true, "removed")
	write(t, file, newPEM)
	trusts(false, true, "the new one alone")
}

// CAAuthAddress, with or without a port, is the name that must be in the certificate.
// InsecureSkipVerify requires no name and no authority.
func TestServerName(t *testing.T) {
	ca := newCA(t)
	s := serve(t, config(t, ca, nil, servers.Leaf{Hosts: []string{"server.example", "::1"}}))
	for _, c := range []struct {
		options map[string]string
		text    string // of the error
	}{
		{options(), "x509"},
		{options(kvdb.CAAuthAddress, "server.example"), ""},
		{options(kvdb.CAAuthAddress, "server.example:8501"), ""},
		{options(kvdb.CAAuthAddress, "[::1]:8501"), ""},
		{options(kvdb.CAAuthAddress, "other.example"), "other.example"},
		{options(kvdb.InsecureSkipVerify, "true"), ""},
		{options(kvdb.InsecureSkipVerify, "false"), "x509"},
	} {
		c.options[kvdb.CAFileKey] = ca.File
		secured, err := ReadTLS(c.options)
		require.NoError(t, err)
		_, err = s.dial(t, secured)
		if c.text == "" {
			require.NoError(t, err, "%v", c.options)
		} else {
			require.ErrorContains(t, err, c.text, "%v", c.options)
		}
	}
	strange, err := ReadTLS(options(kvdb.InsecureSkipVerify, "true", kvdb.CAFileKey, newCA(t).File))
	require.NoError(t, err)
	_, err = s.dial(t, strange)
	require.NoError(t, err)
}

// The error of a server that does not answer in the handshake is not that of a caller who
// has given up.
func TestSilentHandshake(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	secured, err := ReadTLS(nil)
	require.NoError(t, err)
	transport := &http.Transport{DialContext: new(net.Dialer).DialContext, TLSHandshakeTimeout: 50 * time.Millisecond}
	secured.Secure(transport)
	request := httptest.NewRequest(http.MethodGet, "https://"+l.Addr().String(), nil)
	_, err = transport.RoundTrip(request)
	require.ErrorContains(t, err, "TLS handshake with "+l.Addr().String())
	require.NotErrorIs(t, err, context.DeadlineExceeded)
}
