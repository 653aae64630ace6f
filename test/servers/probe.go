package servers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// pollInterval is the time between two attempts of poll.
	pollInterval = 20 * time.Millisecond
	// probeTimeout is the time within which a server must answer.
	probeTimeout = 2 * time.Second
)

// final is an error after which poll does not try again.
type final struct{ error }

// poll calls a function until it returns nil or a final error, or ctx ends.
func poll(ctx context.Context, ask func() error) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if end := (final{}); errors.As(err, &end) {
			return end.error
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// accepts returns an error if no server accepts connections at addr.
func accepts(ctx context.Context, addr string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// prober requests the state of servers over HTTP.
type prober struct {
	http  http.Client
	token string
}

func newProber(c *Cluster) (*prober, error) {
	// The server is known, and a test may give it a bad certificate.
	config := &tls.Config{InsecureSkipVerify: true}
	if c.CA != nil {
		certFile, keyFile, err := c.CA.Issue("prober", Leaf{CommonName: "prober"})
		if err != nil {
			return nil, err
		}
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{cert}
	}
	return &prober{
		http: http.Client{
			Timeout: probeTimeout,
			// Idle connections would live longer than the server.
			Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true},
		},
		token: c.Token,
	}, nil
}

// sum returns the sum of the metrics at url, in Prometheus's text format, for whose lines, with
// their labels, counted returns true.
func (p *prober) sum(ctx context.Context, url string, counted func(metric string) bool) (float64, error) {
	metrics, err := p.get(ctx, url)
	if err != nil {
		return 0, err
	}
	total := 0.0
	for line := range strings.Lines(metrics) {
		metric, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if !ok || !counted(metric) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("metric %q: %w", line, err)
		}
		total += n
	}
	return total, nil
}

// get returns the body of the answer at url. It returns an error if the status is not one of
// statuses, or, without any, not 200.
func (p *prober) get(ctx context.Context, url string, statuses ...int) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	if p.token != "" {
		request.Header.Set("X-Consul-Token", p.token)
	}
	response, err := p.http.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if len(statuses) == 0 {
		statuses = []int{http.StatusOK}
	}
	for _, status := range statuses {
		if response.StatusCode == status {
			return string(body), nil
		}
	}
	return "", fmt.Errorf("%s: %s", response.Status, body)
}
