package collector

import (
	"log/slog"
	"sync"

	"github.com/quorate/quorate/internal/source"
)

// A changeLog logs an error when it appears, when its kind changes and when it is gone, rather
// than once a scrape.
type changeLog struct {
	log *slog.Logger

	mu   sync.Mutex
	last string // reason of the last error, "" when there was none
}

func (c *changeLog) report(err error) {
	now := ""
	if err != nil {
		now = source.Reason(err)
		if now == "stuck" { // the timeout that began it has been told
			now = "timeout"
		}
	}
	c.mu.Lock()
	before := c.last
	c.last = now
	c.mu.Unlock()
	switch {
	case now == before:
	case err != nil:
		c.log.Warn("collecting fails", "reason", now, "err", err)
	default:
		c.log.Info("collecting works again")
	}
}
