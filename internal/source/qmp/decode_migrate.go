package qmp

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// ParseMigration reads what query-migrate returns, without the {"return": …} around it.
//
// Keys and statuses that are not known are no errors, and a field that is not of the expected type
// is as good as missing: from QEMU 7.2 to 11 keys came and went. It fails if raw is not an object,
// or if its status is not text.
func ParseMigration(raw []byte) (Migration, error) {
	var mig Migration
	if !isObject(raw) {
		return mig, fmt.Errorf("query-migrate: %w: %s", errGarbage, excerpt(raw))
	}
	for m := membersOf(raw); m.next(); {
		switch string(m.key) {
		case "status":
			s, ok := text(m.value)
			if !ok {
				return Migration{}, fmt.Errorf("query-migrate: status is not text: %s", excerpt(m.value))
			}
			mig.Status = s
		case "error-desc":
			mig.ErrorDesc, _ = text(m.value)
		case "ram":
			mig.RAM = parseRAM(m.value)
		case "disk":
			mig.Disk = parseRAM(m.value)
		default:
			if field := mig.number(m.key); field != nil {
				*field = number(m.value)
			}
		}
	}
	return mig, nil
}

// number returns the numeric field that is called key, or nil.
func (mig *Migration) number(key []byte) **float64 {
	switch string(key) {
	case "total-time":
		return &mig.TotalTime
	case "setup-time":
		return &mig.SetupTime
	case "downtime":
		return &mig.Downtime
	case "expected-downtime":
		return &mig.ExpectedDowntime
	case "cpu-throttle-percentage":
		return &mig.ThrottlePercent
	case "postcopy-blocktime":
		return &mig.PostcopyBlocktime
	}
	return nil
}

func parseRAM(raw []byte) *RAM {
	if len(raw) == 0 || raw[0] != '{' {
		return nil
	}
	ram := new(RAM)
	for m := membersOf(raw); m.next(); {
		if field := ram.number(m.key); field != nil {
			*field = number(m.value)
		}
	}
	return ram
}

func (r *RAM) number(key []byte) **float64 {
	switch string(key) {
	case "transferred":
		return &r.Transferred
	case "remaining":
		return &r.Remaining
	case "total":
		return &r.Total
	case "dirty-pages-rate":
		return &r.DirtyPagesRate
	case "page-size":
		return &r.PageSize
	case "mbps":
		return &r.Mbps
	case "dirty-sync-count":
		return &r.DirtySyncCount
	}
	return nil
}

// parseStatus returns the run state in what query-status returns, "" if there is none. go-qemu's
// raw.StatusInfo is not used for it: it fails for a state that it does not know by name.
func parseStatus(raw []byte) string {
	for m := membersOf(raw); m.next(); {
		if string(m.key) == "status" {
			s, _ := text(m.value)
			return s
		}
	}
	return ""
}

func isObject(raw []byte) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) > 0 && raw[0] == '{' && json.Valid(raw)
}
