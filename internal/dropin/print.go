package dropin

import (
	"fmt"
	"io"
	"sort"
	"text/tabwriter"
)

// Print writes counts by state and a table of reasons; verbose adds each series that is not equal.
// Its last line is Totals.
func Print(w io.Writer, states []State, verbose bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "state\tcompared\tequal\tdiffer\tmissing\textra\t")
	for _, s := range states {
		if s.Note != "" {
			fmt.Fprintf(t, "%s\t-\t-\t-\t-\t-\t%s\n", s.Name, s.Note)
			continue
		}
		r := s.Report
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t\n", s.Name, r.Compared(), r.Count(Equal), r.Count(Differ), r.Count(Missing), r.Count(Extra))
	}
	fmt.Fprintln(t)
	printReasons(t, states)
	if err := t.Flush(); err != nil {
		return err
	}
	if verbose {
		printSeries(w, states)
	}
	if series, families := leftOut(states); series > 0 {
		fmt.Fprintf(w, "\nleft out: %d series of %d families: daemon performance counters\n", series, families)
	}
	_, err := fmt.Fprintln(w, Total(states))
	return err
}

func leftOut(states []State) (series, families int) {
	for _, s := range states {
		series += s.Report.LeftOut
		families = max(families, s.Report.LeftOutFamilies)
	}
	return series, families
}

func printReasons(w io.Writer, states []State) {
	type row struct {
		kind   Kind
		reason string
	}
	count := map[row]int{}
	for _, s := range states {
		for _, r := range s.Report.Results {
			if r.Kind != Equal {
				count[row{r.Kind, r.Reason}]++
			}
		}
	}
	rows := make([]row, 0, len(count))
	for r := range count {
		rows = append(rows, r)
	}
	sort.Slice(rows, func(i, j int) bool {
		if rows[i].kind != rows[j].kind {
			return rows[i].kind < rows[j].kind
		}
		return count[rows[i]] > count[rows[j]] || count[rows[i]] == count[rows[j]] && rows[i].reason < rows[j].reason
	})
	fmt.Fprintln(w, "kind\tseries\treason")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%d\t%s\n", r.kind, count[r], r.reason)
	}
}

func printSeries(w io.Writer, states []State) {
	for _, s := range states {
		for _, r := range s.Report.Results {
			if r.Kind != Equal {
				fmt.Fprintf(w, "%s %s %s module=%q ours=%q: %s\n", s.Name, r.Kind, r.Series, r.Module, r.Ours, r.Reason)
			}
		}
	}
}
