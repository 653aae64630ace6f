package servers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// CA is a certificate authority for tests.
type CA struct {
	// File is its certificate, in PEM.
	File string

	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Leaf has the fields of a certificate. All certificates are for servers and clients.
type Leaf struct {
	// CommonName is the name of a user of etcd. The default is "localhost".
	CommonName string
	// Hosts are the names and addresses in the certificate. The default are those of
	// loopback, and the names of Consul's servers.
	Hosts []string
	// NotAfter is the time at which it expires. The default is in one day.
	NotAfter time.Time
}

// NewCA makes an authority that writes its files to dir.
func NewCA(dir string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "CA of a test"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	ca := &CA{File: filepath.Join(dir, "ca.pem"), dir: dir, cert: template, key: key}
	encoded, err := ca.sign(template, time.Time{}, key)
	if err != nil {
		return nil, err
	}
	if ca.cert, err = x509.ParseCertificate(encoded); err != nil {
		return nil, err
	}
	return ca, writePEM(ca.File, "CERTIFICATE", encoded)
}

// Issue writes a certificate and its key to two files of that name in the
// authority's folder and returns their paths.
func (ca *CA) Issue(name string, leaf Leaf) (certFile, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: leaf.CommonName},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if leaf.CommonName == "" {
		template.Subject.CommonName = "localhost"
	}
	if leaf.Hosts == nil {
		leaf.Hosts = []string{loopback, "localhost", "server.dc1.consul"}
	}
	for _, host := range leaf.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	encoded, err := ca.sign(template, leaf.NotAfter, key)
	if err != nil {
		return "", "", err
	}
	encodedKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = ca.files(name)
	if err := writePEM(certFile, "CERTIFICATE", encoded); err != nil {
		return "", "", err
	}
	return certFile, keyFile, writePEM(keyFile, "PRIVATE KEY", encodedKey)
}

// files returns the paths of what Issue writes under a name.
func (ca *CA) files(name string) (certFile, keyFile string) {
	return filepath.Join(ca.dir, name+".pem"), filepath.Join(ca.dir, name+"-key.pem")
}

// sign completes a certificate and returns it in DER.
func (ca *CA) sign(template *x509.Certificate, notAfter time.Time, key *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	if notAfter.IsZero() {
		notAfter = time.Now().Add(24 * time.Hour)
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-48 * time.Hour)
	template.NotAfter = notAfter
	return x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
