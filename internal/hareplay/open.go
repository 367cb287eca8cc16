package hareplay

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/quorate/quorate/collector"
	"github.com/quorate/quorate/internal/source/pve"
)

// Each calls do with each scenario of dir, in order of name, until one fails.
func Each(dir string, do func(Scenario) error) error {
	index, err := readIndex(dir)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(index)) {
		s, err := readScenario(dir, name, index[name])
		if err != nil {
			return err
		}
		if err := do(s); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// HA reads the step as the program reads the API. It is not ok if no node was there to be asked.
func (s Step) HA() (h pve.HA, ok bool, err error) {
	if !s.answered() {
		return h, false, nil
	}
	h, err = s.parse()
	return h, err == nil, err
}

// Scrape returns the series that c exports, as `name{a="x",b="y"}`. Histograms are NAME_count and
// NAME_sum. It fails if c fails although its source answered, or does not although it did not.
func Scrape(ctx context.Context, c collector.Collector, answered bool) (map[string]float64, error) {
	return scrape(ctx, c, answered)
}
