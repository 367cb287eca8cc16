package operate

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// transferredLine is how a migration's log tells how much went over: of the memory while it goes on, and since
// 2025 at its end.
var transferredLine = regexp.MustCompile(`transferred ([0-9]+(?:\.[0-9]+)?) ([KMGTP]i)?B (?:of [0-9.]+ (?:[KMGTP]i)?B )?VM-state`)

// parseTransferred is the last such number in a log, in bytes; 0 if there is none.
func parseTransferred(log string) int64 {
	all := transferredLine.FindAllStringSubmatch(log, -1)
	if len(all) == 0 {
		return 0
	}
	last := all[len(all)-1]
	n, err := strconv.ParseFloat(last[1], 64)
	if err != nil {
		return 0
	}
	for i := strings.Index(" KMGTP", string((last[2] + " ")[0])); i > 0; i-- {
		n *= 1024
	}
	if n >= math.MaxInt64 { // no memory is as large: it is no such line
		return 0
	}
	return int64(n)
}

// bytesText is a number of bytes for people.
func bytesText(n int64) string {
	v, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; v >= 1024 && i < len(units)-1; i++ {
		v /= 1024
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
