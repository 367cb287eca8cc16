package facts

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// gatherHost asks what has no API.
func gatherHost(ctx context.Context, t Target, interfaces Known[[]Interface], want Want) Host {
	h := Host{
		MachineID:   command(ctx, t.Shell, trimmed, "cat", "/etc/machine-id"),
		ProductUUID: command(ctx, t.Shell, trimmed, "cat", "/sys/class/dmi/id/product_uuid"),
		HostKey:     command(ctx, t.Shell, hostKey, "cat", "/etc/ssh/ssh_host_ed25519_key.pub"),
		Machine:     command(ctx, t.Shell, trimmed, "uname", "-m"),
		Addresses:   command(ctx, t.Shell, addresses, "hostname", "--ip-address"),
		NTP:         command(ctx, t.Shell, yes, "timedatectl", "show", "--property=NTPSynchronized", "--value"),
		Watchdog:    command(ctx, t.Shell, watchdog, "cat", "/etc/default/pve-ha-manager"),
		Authkey:     present(ctx, t.Shell, "/etc/corosync/authkey"),
		Speeds:      speeds(ctx, t.Shell, interfaces),
	}
	h.Skew, h.SkewError = skew(ctx, t.Shell, want.Now)
	for _, p := range want.Probes {
		if p.From == t.Name {
			h.Probes = append(h.Probes, probe(ctx, t.Shell, p))
		}
	}
	return h
}

// command runs a command and converts what it says.
func command[T any](ctx context.Context, s Shell, convert func(string) (T, error), argv ...string) Known[T] {
	out, err := s.Run(ctx, argv...)
	if err == nil {
		var value T
		if value, err = convert(out); err == nil {
			return Is(value)
		}
	}
	return Unknown[T](fmt.Errorf("%s: %w", strings.Join(argv, " "), err))
}

func trimmed(s string) (string, error) {
	if s = strings.TrimSpace(s); s == "" {
		return "", errors.New("is empty")
	}
	return s, nil
}

func yes(s string) (bool, error) {
	switch strings.TrimSpace(s) {
	case "yes":
		return true, nil
	case "no":
		return false, nil
	}
	return false, fmt.Errorf("%.20q is neither yes nor no", s)
}

// hostKey leaves out the comment, which is the host's name.
func hostKey(s string) (string, error) {
	words := strings.Fields(s)
	if len(words) < 2 {
		return "", errors.New("is no public key")
	}
	return words[0] + " " + words[1], nil
}

func addresses(s string) ([]netip.Addr, error) {
	out := []netip.Addr{}
	for _, word := range strings.Fields(s) {
		a, err := netip.ParseAddr(word)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// Watchdog finds the module in the text of /etc/default/pve-ha-manager; softdog is the default.
func Watchdog(s string) string {
	module := "softdog"
	for _, line := range strings.Split(s, "\n") {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), "WATCHDOG_MODULE=")
		if value = strings.Trim(strings.TrimSpace(value), `"'`); ok && value != "" {
			module = value
		}
	}
	return module
}

func watchdog(s string) (string, error) { return Watchdog(s), nil }

// present looks for a file. The answer is in words, as an exit status may also be that of the connection.
func present(ctx context.Context, s Shell, path string) Known[bool] {
	return command(ctx, s, yes, "bash", "-c", `if test -e "$0"; then echo yes; else echo no; fi`, path)
}

// speeds reads the link speed of the physical interfaces. The kernel gives none for a port that is down.
func speeds(ctx context.Context, s Shell, interfaces Known[[]Interface]) Known[map[string]int] {
	list, ok := interfaces.Get()
	if !ok {
		return Unknown[map[string]int](interfaces.Err())
	}
	argv := []string{"bash", "-c", `for i in "$@"; do echo "$i $(cat "/sys/class/net/$i/speed" 2>/dev/null)"; done`, "speeds"}
	for _, i := range list {
		if i.Type == "eth" || i.Type == "bond" {
			argv = append(argv, i.Name)
		}
	}
	return command(ctx, s, parseSpeeds, argv...)
}

func parseSpeeds(out string) (map[string]int, error) {
	speeds := map[string]int{}
	for _, line := range strings.Split(out, "\n") {
		words := strings.Fields(line)
		if len(words) != 2 {
			continue
		}
		if mbit, err := strconv.Atoi(words[1]); err == nil && mbit > 0 {
			speeds[words[0]] = mbit
		}
	}
	return speeds, nil
}

// skew compares the clocks. The node's is read somewhere between the two readings of ours.
func skew(ctx context.Context, s Shell, now func() time.Time) (Known[time.Duration], time.Duration) {
	if now == nil {
		return Unknown[time.Duration](ErrNotRead), 0
	}
	before := now()
	theirs := command(ctx, s, unixTime, "date", "+%s.%N")
	half := now().Sub(before) / 2
	return then(theirs, func(t time.Time) (time.Duration, error) { return t.Sub(before.Add(half)), nil }), half
}

func unixTime(s string) (time.Time, error) {
	seconds, nanos, ok := strings.Cut(strings.TrimSpace(s), ".")
	sec, err1 := strconv.ParseInt(seconds, 10, 64)
	nsec, err2 := strconv.ParseInt(nanos, 10, 64)
	if !ok || err1 != nil || err2 != nil || nsec < 0 || nsec >= 1e9 {
		return time.Time{}, fmt.Errorf("%.40q is no time", s)
	}
	return time.Unix(sec, nsec), nil
}
