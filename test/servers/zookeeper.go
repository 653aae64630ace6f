package servers

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// SuperUser is the digest user, and password, that may do everything on a
// ZooKeeper server of this package, reconfiguration included.
const SuperUser = "super:kvdb"

// zookeeper runs ZooKeeper.
//
// Each member dials the others through a SOCKS proxy of its own, so a connection shows which
// member it comes from.
type zookeeper struct{}

var zookeeperJars = []string{
	"zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-simple", "snappy-java", "metrics-core", "commons-cli",
	"commons-io", "netty-buffer", "netty-common", "netty-handler", "netty-transport", "netty-transport-native-epoll",
	"netty-transport-native-unix-common", "netty-codec", "netty-resolver", "jackson-annotations", "jackson-core",
	"jackson-databind",
}

func (zookeeper) installed() error {
	if _, err := exec.LookPath("java"); err != nil {
		return &MissingError{Program: "java"}
	}
	_, err := find("zookeeper", "usr", "share", "java", "zookeeper.jar")
	return err
}

func (zookeeper) endpoint(_ *Member, port int) string { return address(loopback, port) }

func (zookeeper) peerHost(*Member) string { return loopback }

func (zookeeper) spec(m *Member) string {
	return fmt.Sprintf("server.%d=%s:%d:participant;%s", m.id, address(m.Peer()), m.vote, address(loopback, m.plainPort()))
}

// plainPort is the port without TLS.
func (m *Member) plainPort() int {
	if m.c.o.TLS {
		return m.plain
	}
	return m.direct
}

func (z zookeeper) command(m *Member) (*exec.Cmd, error) {
	jar, err := find("zookeeper", "usr", "share", "java", "zookeeper.jar")
	if err != nil {
		return nil, err
	}
	var classPath []string
	for _, name := range zookeeperJars {
		classPath = append(classPath, filepath.Join(filepath.Dir(jar), name+".jar"))
	}
	config := filepath.Join(m.dir, "zoo.cfg")
	if _, err := os.Stat(config); errors.Is(err, os.ErrNotExist) {
		if err := z.configure(m, config); err != nil {
			return nil, err
		}
	}
	if m.c.o.TLS {
		if err := m.writeKeyStore(); err != nil {
			return nil, err
		}
	}
	digest := sha1.Sum([]byte(SuperUser))
	user, _, _ := strings.Cut(SuperUser, ":")
	args := append([]string{
		"-cp", strings.Join(classPath, string(os.PathListSeparator)),
		"-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-DsocksProxyHost=" + loopback, "-DsocksProxyPort=" + strconv.Itoa(m.socks), "-DsocksNonProxyHosts=",
		"-Dznode.container.checkIntervalMs=1000", "-Dznode.container.maxNeverUsedIntervalMs=0",
		"-Dzookeeper.DigestAuthenticationProvider.superDigest=" +
			user + ":" + base64.StdEncoding.EncodeToString(digest[:]),
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
	}, m.c.o.Args...)
	return exec.Command("java", append(args, "org.apache.zookeeper.server.quorum.QuorumPeerMain", config)...), nil
}

// configure writes the configuration for the first start. Later the server itself writes the
// list of the members.
func (zookeeper) configure(m *Member, file string) error {
	data := filepath.Join(m.dir, "data")
	lines := []string{
		"tickTime=500", "initLimit=20", "syncLimit=10", "minSessionTimeout=1000", "maxSessionTimeout=60000",
		"dataDir=" + data,
		"clientPort=" + strconv.Itoa(m.plainPort()), "clientPortAddress=" + loopback,
		"maxClientCnxns=0", "admin.enableServer=false", "4lw.commands.whitelist=*",
		"extendedTypesEnabled=true", "reconfigEnabled=true",
	}
	if m.c.o.TLS {
		auth := "none"
		if m.c.o.ClientCertAuth {
			auth = "need"
		}
		lines = append(lines,
			"secureClientPort="+strconv.Itoa(m.direct), "secureClientPortAddress="+loopback,
			"serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
			"ssl.keyStore.type=PEM", "ssl.keyStore.location="+m.keyStore(),
			"ssl.trustStore.type=PEM", "ssl.trustStore.location="+m.c.CA.File,
			"ssl.clientAuth="+auth)
	}
	lines = append(lines, m.c.o.Config...)
	lines = append(lines, m.c.specs()...)
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(data, "myid"), []byte(strconv.Itoa(m.id)), 0o600); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

// keyStore writes a PEM file with the key and the certificate, as Java needs it.
func (m *Member) keyStore() string { return filepath.Join(m.dir, "key-and-certificate.pem") }

func (m *Member) writeKeyStore() error {
	certFile, keyFile, err := m.c.CA.Issue(m.name, m.c.o.ServerLeaf)
	if err != nil {
		return err
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return err
	}
	return os.WriteFile(m.keyStore(), append(key, cert...), 0o600)
}

func (zookeeper) connect(m *Member) error { return m.c.connectBySocks(m) }

func (z zookeeper) ready(ctx context.Context, m *Member) error {
	// A leader that has not noticed yet that it lost the others still reports that it leads,
	// but it cannot open a session.
	if _, err := z.mode(ctx, m); err != nil {
		return err
	}
	conn, err := dialBriefly(ctx, address(loopback, m.plainPort()))
	if err != nil {
		return err
	}
	defer conn.Close()
	s, err := openSession(conn, session{Timeout: 1000})
	if err == nil && s.ID == 0 {
		err = errors.New("no session")
	}
	return err
}

func (z zookeeper) leads(ctx context.Context, m *Member) (bool, error) {
	mode, err := z.mode(ctx, m)
	return mode == "leader" || mode == "standalone", err
}

// mode returns the role of a server in the ensemble.
func (z zookeeper) mode(ctx context.Context, m *Member) (string, error) {
	return z.status(ctx, m, "Mode")
}

func (z zookeeper) requests(ctx context.Context, m *Member) (float64, error) {
	received, err := z.status(ctx, m, "Received")
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(received, 64)
}

// status returns one line of the status of a server.
func (zookeeper) status(ctx context.Context, m *Member, name string) (string, error) {
	status, err := fourLetters(ctx, address(loopback, m.plainPort()), "srvr")
	if err != nil {
		return "", err
	}
	_, rest, ok := strings.Cut(status, name+": ")
	if !ok {
		return "", fmt.Errorf("no %s in %q", name, status)
	}
	value, _, _ := strings.Cut(rest, "\n")
	return value, nil
}

// dialBriefly connects for one short exchange. Its deadline is short, because a server that is
// starting may never answer a request, but answers the next one.
func dialBriefly(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// fourLetters sends a command and returns the answer.
func fourLetters(ctx context.Context, addr, command string) (string, error) {
	conn, err := dialBriefly(ctx, addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, command); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

// session is the part of ZooKeeper's messages that requests or describes a session.
type session struct {
	Timeout  int32 // in milliseconds
	ID       int64 // 0 in a request for a new session, and in the reply if there is none
	Size     int32 // of Password
	Password [16]byte
}

// openSession opens a session, or resumes one that has an ID. It ends at its timeout.
func openSession(conn io.ReadWriter, s session) (session, error) {
	s.Size = int32(len(s.Password))
	request := struct {
		Length   int32
		Protocol int32
		LastZxid int64
		Session  session
	}{Session: s}
	request.Length = int32(binary.Size(request) - 4)
	if err := binary.Write(conn, binary.BigEndian, request); err != nil {
		return session{}, err
	}
	var reply struct {
		Length   int32
		Protocol int32
		Session  session
	}
	err := binary.Read(conn, binary.BigEndian, &reply)
	return reply.Session, err
}
