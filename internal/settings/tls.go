package settings

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/portworx/kvdb"
	"github.com/portworx/kvdb/internal/option"
)

// TLS has the settings of TLS connections. Its files are read at each handshake, so that
// certificates and authorities can be replaced while an instance is open. If a file cannot
// be used, for example because it is being written, its last usable content counts.
type TLS struct {
	// CAFile has the authorities that sign the servers' certificates. The default are
	// those of the system. CertFile and KeyFile are the client's.
	CAFile, CertFile, KeyFile string
	// ServerName is the name that the servers' certificates must have. The default is the
	// host that is dialled.
	ServerName string
	// InsecureSkipVerify accepts any certificate of a server.
	InsecureSkipVerify bool
	// ClientCertAuth requires a CertFile.
	ClientCertAuth bool

	mu   sync.Mutex // protects the fields below
	pool reloaded[*x509.CertPool]
	pair reloaded[*tls.Certificate]
}

// ReadTLS returns the settings in the options, whether or not TLS is used. It returns an
// error if a file that they name cannot be used.
func ReadTLS(options map[string]string) (*TLS, error) {
	t := &TLS{
		CAFile:   cmp.Or(options[kvdb.TrustedCAFileKey], options[kvdb.CAFileKey]),
		CertFile: options[kvdb.CertFileKey], KeyFile: options[kvdb.CertKeyFileKey],
		ServerName: options[kvdb.CAAuthAddress],
	}
	if host, _, err := net.SplitHostPort(t.ServerName); err == nil {
		t.ServerName = host
	}
	var err error
	if t.InsecureSkipVerify, err = option.Bool(options, kvdb.InsecureSkipVerify); err != nil {
		return nil, err
	}
	if t.ClientCertAuth, err = option.Bool(options, kvdb.ClientCertAuthKey); err != nil {
		return nil, err
	}
	// TrustedCAFile counts if both are set, so it is loaded last.
	for _, option := range []string{kvdb.CAFileKey, kvdb.TrustedCAFileKey} {
		if options[option] == "" {
			continue
		}
		t.pool = reloaded[*x509.CertPool]{files: []file{{option, options[option]}}, parse: parseAuthorities}
		if err := t.pool.load(); err != nil {
			return nil, err
		}
	}
	switch {
	case (t.CertFile == "") != (t.KeyFile == ""):
		return nil, fmt.Errorf("options %s and %s must be set together", kvdb.CertFileKey, kvdb.CertKeyFileKey)
	case t.CertFile != "":
		t.pair = reloaded[*tls.Certificate]{
			files: []file{{kvdb.CertFileKey, t.CertFile}, {kvdb.CertKeyFileKey, t.KeyFile}}, parse: parsePair,
		}
		if err := t.pair.load(); err != nil {
			return nil, err
		}
	case t.ClientCertAuth:
		return nil, fmt.Errorf("option %s: %w", kvdb.ClientCertAuthKey, kvdb.ErrNoCertificate)
	}
	return t, nil
}

// Config returns the configuration for one handshake with a server that was
// dialled as host.
func (t *TLS) Config(host string) *tls.Config {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.pool.load() // after an error the last usable content counts
	_ = t.pair.load()
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: cmp.Or(t.ServerName, host),
		RootCAs: t.pool.value, InsecureSkipVerify: t.InsecureSkipVerify,
	}
	if pair := t.pair.value; pair != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	return config
}

// Client makes the handshake on conn, a connection to address, and returns the secured
// connection. It closes conn if that fails.
func (t *TLS) Client(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	secured := tls.Client(conn, t.Config(host))
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secured, nil
}

// Secure makes transport use t for https. transport must have a DialContext and a
// TLSHandshakeTimeout. If t is nil, Secure does nothing.
func (t *TLS) Secure(transport *http.Transport) {
	if t == nil {
		return
	}
	dial, limit := transport.DialContext, transport.TLSHandshakeTimeout
	transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		limited, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		secured, err := t.Client(limited, conn, address)
		if err != nil && limited.Err() != nil && ctx.Err() == nil {
			// The caller's context has not ended, so the error must not look like its
			// deadline.
			return nil, fmt.Errorf("TLS handshake with %s: no answer within %v", address, limit)
		}
		return secured, err
	}
}

// file is a file that an option names.
type file struct{ option, path string }

// reloaded is a value that is read from files, again whenever they have changed. The zero
// value has no files.
type reloaded[T any] struct {
	files    []file
	parse    func(files []file, contents [][]byte) (T, error)
	contents [][]byte // from which value was read
	value    T
}

// load reads value from the files if they have changed. After an error value is unchanged.
func (r *reloaded[T]) load() error {
	contents := make([][]byte, len(r.files))
	for i, f := range r.files {
		var err error
		if contents[i], err = os.ReadFile(f.path); err != nil {
			return fmt.Errorf("option %s: %w", f.option, err)
		}
	}
	if slices.EqualFunc(contents, r.contents, bytes.Equal) {
		return nil
	}
	value, err := r.parse(r.files, contents)
	if err != nil {
		return err
	}
	r.value, r.contents = value, contents
	return nil
}

// parseAuthorities returns the certificates in a file. It returns an error if the file ends
// in the middle of a certificate, because fewer authorities would be trusted.
func parseAuthorities(files []file, contents [][]byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(contents[0]) {
		return nil, fmt.Errorf("option %s: %s has no certificate", files[0].option, files[0].path)
	}
	rest := contents[0]
	for block := new(pem.Block); block != nil; {
		block, rest = pem.Decode(rest)
	}
	if bytes.Contains(rest, []byte("-----BEGIN")) {
		return nil, fmt.Errorf("option %s: %s ends in the middle of a certificate", files[0].option, files[0].path)
	}
	return pool, nil
}

// parsePair returns a certificate with its key. The error names the file that cannot be used,
// or both files if they do not belong together.
func parsePair(files []file, contents [][]byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	switch {
	case err == nil:
		return &pair, nil
	case strings.Contains(err.Error(), "does not match public key"):
		return nil, fmt.Errorf("options %s and %s: %w", files[0].option, files[1].option, err)
	case hasCertificate(contents[0]):
		return nil, fmt.Errorf("option %s: %s: %w", files[1].option, files[1].path, err)
	}
	return nil, fmt.Errorf("option %s: %s: %w", files[0].option, files[0].path, err)
}

// hasCertificate reports whether the first certificate in content can be used.
func hasCertificate(content []byte) bool {
	for block := new(pem.Block); block != nil; {
		if block, content = pem.Decode(content); block != nil && block.Type == "CERTIFICATE" {
			_, err := x509.ParseCertificate(block.Bytes)
			return err == nil
		}
	}
	return false
}
