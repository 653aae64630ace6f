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
	// pollInterval is how long poll waits between two questions.
	pollInterval = 20 * time.Millisecond
	// probeTimeout is how long a server may take for an answer.
	probeTimeout = 2 * time.Second
)

// final is an error that asking again does not mend.
type final struct{ error }

// poll asks until there is no error, or a final one, or ctx ends.
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

// accepts returns an error when nobody accepts connections at addr.
func accepts(ctx context.Context, addr string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// prober asks servers over HTTP how they are.
type prober struct {
	http  http.Client
	token string
}

func newProber(c *Cluster) (*prober, error) {
	// The server is known, and a test may want it to have a bad certificate.
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
			// Idle connections would outlive what they were for.
			Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true},
		},
		token: c.Token,
	}, nil
}

// sum adds up the metrics at url, in Prometheus's text format, whose line, with
// its labels, is counted.
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

// get returns what is at url. An answer that is none of the statuses, 200 if
// none is given, is an error.
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
