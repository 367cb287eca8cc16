package spec

import (
	"fmt"
	"strconv"
	"strings"
)

// Bytes is a size. Files may say 512M, 8G or 1.5T, powers of 1024 as in Proxmox, or 960GB, the
// powers of 1000 on a disk's label. A bare number is bytes.
type Bytes int64

// MiB is an amount of memory in mebibytes. A bare number is MiB; 2G and 512M are fine as well.
type MiB int64

// Value is a setting of Ceph as `ceph config set` wants it: text, whatever it looks like.
type Value string

const (
	kibi = 1 << 10
	mebi = 1 << 20
	gibi = 1 << 30
	tebi = 1 << 40
)

var units = map[string]float64{
	"": 1, "B": 1,
	"K": kibi, "KIB": kibi, "KB": 1e3,
	"M": mebi, "MIB": mebi, "MB": 1e6,
	"G": gibi, "GIB": gibi, "GB": 1e9,
	"T": tebi, "TIB": tebi, "TB": 1e12,
}

// ParseBytes reads a size such as 8G.
func ParseBytes(s string) (Bytes, error) {
	number := strings.TrimRight(s, "BKMGTibkmgt")
	factor, ok := units[strings.ToUpper(s[len(number):])]
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	// 2^62 leaves room below the largest int64, where a float is no longer exact.
	if !ok || err != nil || !(n >= 0) || n*factor > 1<<62 {
		return 0, fmt.Errorf("%q is not a size such as 512M, 8G or 960GB", s)
	}
	return Bytes(n * factor), nil
}

// String gives the shortest form that reads back as the same size.
func (b Bytes) String() string {
	switch {
	case b == 0:
		return "0"
	case b%tebi == 0:
		return strconv.FormatInt(int64(b/tebi), 10) + "T"
	case b%gibi == 0:
		return strconv.FormatInt(int64(b/gibi), 10) + "G"
	case b%mebi == 0:
		return strconv.FormatInt(int64(b/mebi), 10) + "M"
	case b%kibi == 0:
		return strconv.FormatInt(int64(b/kibi), 10) + "K"
	}
	return strconv.FormatInt(int64(b), 10)
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = ParseBytes(string(text))
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *MiB) UnmarshalText(text []byte) error {
	s := string(text)
	if n, err := strconv.ParseInt(s, 10, 32); err == nil && n >= 0 {
		*m = MiB(n)
		return nil
	}
	b, err := ParseBytes(s)
	if err != nil || b%mebi != 0 {
		return fmt.Errorf("%q is not an amount of memory such as 2048 (MiB) or 2G", s)
	}
	*m = MiB(b / mebi)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (m MiB) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(m), 10), nil }
