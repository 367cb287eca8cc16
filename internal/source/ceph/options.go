package ceph

import (
	"log/slog"
	"strings"
	"time"
)

// Options say how to reach the cluster. The zero value of a field means its default.
type Options struct {
	ConfFile string // default /etc/ceph/ceph.conf
	User     string // "quorate" or "client.quorate", which is the default
	Keyring  string // default: where ceph.conf says, else Ceph's and Proxmox VE's usual places

	ConnectTimeout time.Duration // of one attempt to connect, default 5 s
	OpTimeout      time.Duration // of one command, default 5 s
	PingInterval   time.Duration // to the monitor in use, default 1 s
	PingTimeout    time.Duration // after which another monitor is tried, default 2 s
	RetryAfter     time.Duration // between attempts to connect, default 10 s
	ProbeEvery     time.Duration // between questions to monitors or manager that are down, default 1 s

	Log *slog.Logger     // default: none
	Now func() time.Time // default time.Now

	dial func(Options, settings) (conn, error) // default: librados
	look func(Options) (settings, error)       // default: check
}

// conn is a connected Commander.
type conn interface {
	Commander
	FSID() (string, error)
	Close()
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.ConnectTimeout, 5*time.Second)
	def(&o.OpTimeout, 5*time.Second)
	def(&o.PingInterval, time.Second)
	def(&o.PingTimeout, 2*time.Second)
	def(&o.RetryAfter, 10*time.Second)
	def(&o.ProbeEvery, time.Second)
	o.ConfFile = orElse(o.ConfFile, DefaultConf)
	o.User = orElse(strings.TrimPrefix(o.User, "client."), "quorate")
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.dial == nil {
		o.dial = dialRados
	}
	if o.look == nil {
		o.look = check
	}
	return o
}

// Check looks at ceph.conf and the keyring without connecting. Its error is one line that says
// which file is wrong and what to do. Without ceph.conf it is ErrNotConfigured.
func Check(o Options) error {
	o = o.withDefaults()
	_, err := o.look(o)
	return err
}
