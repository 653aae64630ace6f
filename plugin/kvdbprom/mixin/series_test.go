package mixin

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// scrapeInterval is the time between two samples of a series.
const scrapeInterval = 30 * time.Second

// parseSeries returns series in the notation of promtool, one a line, that begin at the time
// 0.
func parseSeries(lines string) (all []storage.Series, err error) {
	for line := range strings.Lines(lines) {
		of, values, err := promQL.ParseSeriesDesc(strings.TrimSpace(line))
		if err != nil {
			return nil, err
		}
		samples := make([]chunks.Sample, len(values))
		for i, v := range values {
			samples[i] = sample{at: (time.Duration(i) * scrapeInterval).Milliseconds(), value: v.Value}
		}
		all = append(all, storage.NewListSeries(of, samples))
	}
	return all, nil
}

// sample is a value at a time.
type sample struct {
	chunks.Sample // the methods that only histograms need
	at            int64
	value         float64
}

func (s sample) T() int64                 { return s.at }
func (s sample) ST() int64                { return 0 }
func (s sample) F() float64               { return s.value }
func (s sample) Type() chunkenc.ValueType { return chunkenc.ValFloat }

// stored returns a storage that has the series.
func stored(all []storage.Series) storage.Queryable {
	return &storage.MockQueryable{MockQuerier: &storage.MockQuerier{
		SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
			return &seriesSet{left: slices.DeleteFunc(slices.Clone(all), func(s storage.Series) bool {
				return slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Labels().Get(m.Name)) })
			})}
		},
	}}
}

// seriesSet iterates over series.
type seriesSet struct {
	left    []storage.Series
	current storage.Series
}

func (s *seriesSet) Next() bool {
	if len(s.left) == 0 {
		return false
	}
	s.current, s.left = s.left[0], s.left[1:]
	return true
}

func (s *seriesSet) At() storage.Series                { return s.current }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }
