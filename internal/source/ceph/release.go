package ceph

import (
	"fmt"
	"strings"
)

// A Release is the version of a Ceph daemon. The zero value means unknown.
type Release struct{ Major, Minor, Patch int }

// ParseRelease reads "16.2.15", "ceph version 16.2.15 (618f…) pacific (stable)" or a name.
func ParseRelease(s string) Release {
	s = strings.TrimPrefix(strings.TrimSpace(s), "ceph version ")
	var r Release
	if n, _ := fmt.Sscanf(s, "%d.%d.%d", &r.Major, &r.Minor, &r.Patch); n > 0 && r.Major > 0 {
		return r
	}
	for i, name := range releaseNames {
		if s == name {
			return Release{Major: firstNamed + i, Minor: 2, Patch: latestPatch}
		}
	}
	return Release{}
}

// Known says whether the release is known.
func (r Release) Known() bool { return r.Major > 0 }

// Before says whether r is older than other.
func (r Release) Before(other Release) bool {
	if r.Major != other.Major {
		return r.Major < other.Major
	}
	if r.Minor != other.Minor {
		return r.Minor < other.Minor
	}
	return r.Patch < other.Patch
}

const (
	firstNamed  = 14
	latestPatch = 99 // a name alone says nothing of the patch level: take it for the last one
)

var releaseNames = [...]string{"nautilus", "octopus", "pacific", "quincy", "reef", "squid", "tentacle"}

// Name is the name of the release as mgr dump's always_on_modules uses it, "" if unknown.
func (r Release) Name() string {
	if i := r.Major - firstNamed; i >= 0 && i < len(releaseNames) {
		return releaseNames[i]
	}
	return ""
}
