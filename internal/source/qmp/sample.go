package qmp

import "time"

// A Sample is what one conversation with a VM's monitor said.
type Sample struct {
	At        time.Time // when the reply to query-migrate had been read
	VMState   string    // query-status: running, paused, inmigrate, postmigrate, finish-migrate, …
	Migration Migration
	Process   Process // zero if it cannot be told
}

// Migration is the reply to query-migrate. Every field but Status may be missing in some phase or in some version of QEMU
// from 7.2 to 11; what QEMU did not say is nil. A VM that never migrated has no status at all.
type Migration struct {
	Status            string   `json:"status"`
	ErrorDesc         string   `json:"error-desc"`              // its presence is not a failure: a cut postcopy has one too
	TotalTime         *float64 `json:"total-time"`              // ms since the start
	SetupTime         *float64 `json:"setup-time"`              // ms
	Downtime          *float64 `json:"downtime"`                // ms; only once completed, and without the destination's pause
	ExpectedDowntime  *float64 `json:"expected-downtime"`       // ms; the limit until the second pass, an estimate after it
	ThrottlePercent   *float64 `json:"cpu-throttle-percentage"` // only once throttling began
	PostcopyBlocktime *float64 `json:"postcopy-blocktime"`      // ms; only with that capability
	RAM               *RAM     `json:"ram"`
	Disk              *RAM     `json:"disk"` // until QEMU 9.1
}

// RAM are the counters of the current or last migration. A new migration starts them again.
type RAM struct {
	Transferred    *float64 `json:"transferred"`      // bytes, of all channels
	Remaining      *float64 `json:"remaining"`        // bytes
	Total          *float64 `json:"total"`            // bytes
	DirtyPagesRate *float64 `json:"dirty-pages-rate"` // pages per second; 0 until the second pass
	PageSize       *float64 `json:"page-size"`        // bytes
	Mbps           *float64 `json:"mbps"`             // megabits per second
	DirtySyncCount *float64 `json:"dirty-sync-count"` // passes over the memory
}

// A Process is the QEMU that a monitor socket belongs to. PID 0 is not known.
type Process struct {
	PID   int
	Start uint64 // clock ticks after boot, as /proc/PID/stat says: a PID alone may come back
}
