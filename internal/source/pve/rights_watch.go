package pve

import (
	"context"
	"log/slog"
	"strings"
	"time"
)

// Times between two looks at the rights: they change seldom, and some seconds after the ACL does.
const (
	rightsEvery   = 10 * time.Minute
	rightsRetry   = 30 * time.Second
	rightsTimeout = 10 * time.Second
)

// WatchRights tells log which rights the token or user lacks, and what is missing without them: when
// it is first known and when it changes. Most calls do not fail without a right, they leave out
// rows, so nobody else could tell. It returns nil when ctx ends.
func (c *Client) WatchRights(ctx context.Context, log *slog.Logger) error {
	told := "" // nothing is missing
	for {
		next := rightsRetry
		if lacking, err := c.rightsNow(ctx); err == nil {
			next = rightsEvery
			told = tellRights(log, lacking, told)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(next):
		}
	}
}

func (c *Client) rightsNow(ctx context.Context) ([]Right, error) {
	ctx, cancel := context.WithTimeout(ctx, rightsTimeout)
	defer cancel()
	return c.MissingRights(ctx)
}

// tellRights logs what is lacking unless it was told before, and returns what has been told.
func tellRights(log *slog.Logger, lacking []Right, told string) string {
	var lines []string
	for _, r := range lacking {
		lines = append(lines, r.String())
	}
	now := strings.Join(lines, "\n")
	switch {
	case now == told:
	case now == "":
		log.Info("Proxmox VE: no right is missing any more")
	default:
		for _, line := range lines {
			log.Warn("Proxmox VE: a right is missing, give the role PVEAuditor on /", "right", line)
		}
	}
	return now
}
