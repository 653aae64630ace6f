// Package mixin has a dashboard for Grafana and alert rules for Prometheus, for the metrics
// of kvdbprom. It is a module of its own because its tests need Prometheus, which programs
// that import kvdbprom do not.
package mixin
