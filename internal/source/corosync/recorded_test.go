package corosync

import (
	"bufio"
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recordings holds what corosync's own tools said of one cluster in many states.
const recordings = "../../../../shared/data/corosync"

// recorded is a daemon made of the output of corosync-cmapctl and corosync-quorumtool.
type recorded struct {
	maps  [2]map[string]value
	view  quorumView
	info  voteInfo            // of the node itself
	nodes map[uint32]voteInfo // of the members
}

func (r *recorded) quorum() (quorumView, error) { return r.view, nil }
func (r *recorded) close()                      {}

func (r *recorded) votes(ids []uint32) ([]voteInfo, error) {
	out := make([]voteInfo, len(ids))
	for i, id := range ids {
		n := r.nodes[id]
		if n.known {
			out[i] = r.info
			out[i].member, out[i].votes = n.member, n.votes
		}
	}
	return out, nil
}

func (r *recorded) get(m keyMap, keys []string) ([]value, error) {
	out := make([]value, len(keys))
	for i, k := range keys {
		out[i] = r.maps[m][k]
	}
	return out, nil
}

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var keyLine = regexp.MustCompile(`^(\S+) \((\w+)\) = (.*)$`)

func parseKeys(t *testing.T, dump string) map[string]value {
	t.Helper()
	keys := map[string]value{}
	in := bufio.NewScanner(strings.NewReader(dump))
	for in.Scan() {
		m := keyLine.FindStringSubmatch(in.Text())
		if m == nil {
			t.Fatalf("not a key: %q", in.Text())
		}
		switch m[2] {
		case "str":
			keys[m[1]] = value{kind: text, s: m[3]}
		case "flt", "dbl":
			f, err := strconv.ParseFloat(m[3], 64)
			if err != nil {
				t.Fatal(err)
			}
			keys[m[1]] = value{kind: float, f: f}
		default:
			n, err := strconv.ParseUint(m[3], 10, 64)
			if err != nil {
				continue // a signed number
			}
			keys[m[1]] = value{kind: number, n: n}
		}
	}
	return keys
}

// quorumtool is the output of corosync-quorumtool -s as a person reads it.
type quorumtool struct {
	fields  map[string]string
	members map[uint32]string // node id to name
	qdevice string            // flags of this node's row, like "A,V,NMW"
}

var memberLine = regexp.MustCompile(`^ +(\d+) +(\d+) +(?:([A-Z]+(?:,[A-Z]+)*) +)?(\S+)( \(local\))?`)

func parseQuorumtool(t *testing.T, out string) quorumtool {
	t.Helper()
	q := quorumtool{fields: map[string]string{}, members: map[uint32]string{}}
	for line := range strings.Lines(out) {
		if m := memberLine.FindStringSubmatch(line); m != nil {
			id, err := strconv.ParseUint(m[1], 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			if id == 0 {
				continue // the qdevice's row
			}
			q.members[uint32(id)] = m[4]
			if m[5] != "" {
				q.qdevice = m[3]
			}
		} else if k, v, ok := strings.Cut(line, ":"); ok {
			q.fields[k] = strings.TrimSpace(v)
		}
	}
	return q
}

func (q quorumtool) number(t *testing.T, field string) uint32 {
	t.Helper()
	f := strings.Fields(q.fields[field] + " ?")[0] // "2 Activity blocked"
	n, err := strconv.ParseUint(f, 10, 32)
	if err != nil {
		t.Fatalf("quorumtool's %q: %v", field, err)
	}
	return uint32(n)
}

func (q quorumtool) ring(t *testing.T) Ring {
	t.Helper()
	var r Ring
	if _, err := fmt.Sscanf(q.fields["Ring ID"], "%x.%x", &r.LeaderID, &r.Sequence); err != nil {
		t.Fatalf("ring id %q: %v", q.fields["Ring ID"], err)
	}
	return r
}

// flags turns quorumtool's words back into votequorum's bits.
func (q quorumtool) flags() (bits uint32) {
	words := strings.Fields(q.fields["Flags"])
	if slices.Contains(words, "WaitForAll") {
		bits |= flagWaitForAll
	}
	if slices.Contains(words, "Qdevice") {
		bits |= flagQDeviceRegistered
	}
	row := strings.Split(q.qdevice, ",")
	if slices.Contains(row, "A") {
		bits |= flagQDeviceAlive
	}
	if slices.Contains(row, "V") {
		bits |= flagQDeviceCastVote
	}
	return bits
}

func loadRecorded(t *testing.T, dir string) *recorded {
	t.Helper()
	q := parseQuorumtool(t, readFile(t, dir, "quorumtool-s.txt"))
	r := &recorded{nodes: map[uint32]voteInfo{}}
	r.maps[configMap] = parseKeys(t, readFile(t, dir, "cmap.txt"))
	r.maps[statsMap] = parseKeys(t, readFile(t, dir, "cmap-stats.txt"))
	r.view = quorumView{quorate: q.fields["Quorate"] == "Yes", ring: Some(q.ring(t))}
	for id := range q.members {
		r.view.members = append(r.view.members, id)
		r.nodes[id] = voteInfo{known: true, member: true, votes: 1}
	}
	r.info = voteInfo{
		known: true, flags: q.flags(),
		expected: q.number(t, "Expected votes"), highestExpected: q.number(t, "Highest expected"),
		total: q.number(t, "Total votes"), quorum: q.number(t, "Quorum"),
	}
	return r
}

// recordedDirs are all recordings of a node whose corosync ran.
func recordedDirs(t *testing.T) []string {
	t.Helper()
	if _, err := os.Stat(recordings); err != nil {
		t.Skipf("no recordings of corosync there: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(recordings, "*", "pve*", "quorumtool-s.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, f := range files {
		if st, err := os.Stat(f); err == nil && st.Size() > 0 {
			dirs = append(dirs, filepath.Dir(f))
		}
	}
	if len(dirs) < 40 {
		t.Fatalf("only %d recordings", len(dirs))
	}
	return dirs
}

// TestSnapshotAgreesWithTheToolsInEveryRecordedState holds the members, links and votes of a
// Snapshot, made of the key maps, against what quorumtool and cfgtool printed at the same time.
func TestSnapshotAgreesWithTheToolsInEveryRecordedState(t *testing.T) {
	for _, dir := range recordedDirs(t) {
		name, _ := filepath.Rel(recordings, dir)
		t.Run(name, func(t *testing.T) {
			s, err := readSnapshot(loadRecorded(t, dir))
			if err != nil {
				t.Fatal(err)
			}
			q := parseQuorumtool(t, readFile(t, dir, "quorumtool-s.txt"))
			if s.SelfID != q.number(t, "Node ID") {
				t.Errorf("node id %d", s.SelfID)
			}
			for _, m := range s.Members {
				if name, up := q.members[m.ID]; up != m.Up || up && name != m.Name {
					t.Errorf("member %+v, quorumtool lists %v", m, q.members)
				}
			}
			if nodes := len(s.Members); s.ConfiguredVotes != uint32(nodes)+s.QDevice.Votes || nodes < 2 {
				t.Errorf("configured votes %d of %d nodes and qdevice %+v", s.ConfiguredVotes, nodes, s.QDevice)
			}
			if got, want := len(s.Links), 2*(len(s.Members)-1); got != want {
				t.Errorf("%d links, want %d: %+v", got, want, s.Links)
			}
			checkLinks(t, s, readFile(t, dir, "cfgtool-s.txt"))
		})
	}
}

var (
	cfgtoolLink = regexp.MustCompile(`^LINK ID (\d+)`)
	cfgtoolNode = regexp.MustCompile(`nodeid:\s+(\d+):\s+(\S+)`)
)

// checkLinks compares with the words of corosync-cfgtool -s, which ran a moment apart.
func checkLinks(t *testing.T, s Snapshot, cfgtool string) {
	t.Helper()
	link, compared, differ := 0, 0, 0
	for line := range strings.Lines(cfgtool) {
		if m := cfgtoolLink.FindStringSubmatch(line); m != nil {
			link, _ = strconv.Atoi(m[1])
		}
		m := cfgtoolNode.FindStringSubmatch(line)
		if m == nil || m[2] == "localhost" {
			continue
		}
		i := slices.IndexFunc(s.Links, func(l Link) bool { return fmt.Sprint(l.PeerID) == m[1] && l.Link == link })
		if i < 0 {
			t.Errorf("link %d to node %s is missing", link, m[1])
			continue
		}
		compared++
		if s.Links[i].Connected != Some(m[2] == "connected") {
			differ++
		}
	}
	if compared != len(s.Links) {
		t.Errorf("compared %d of %d links", compared, len(s.Links))
	}
	if differ > 1 {
		t.Errorf("%d of %d links differ from cfgtool", differ, compared)
	}
}

func recordedState(t *testing.T, state string) Snapshot {
	t.Helper()
	dir := filepath.Join(recordings, state)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no recordings of corosync there: %v", err)
	}
	s, err := readSnapshot(loadRecorded(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestForcedExpectedVotesStandBelowTheConfiguredOnes(t *testing.T) {
	s := recordedState(t, "expected-votes-1/pve1")
	if !s.Quorate || s.ExpectedVotes != 1 || s.ConfiguredVotes != 3 {
		t.Errorf("quorate %t, expected %d, configured %d", s.Quorate, s.ExpectedVotes, s.ConfiguredVotes)
	}
}

func TestWaitForAllIsNotQuorateWithEnoughVotes(t *testing.T) {
	s := recordedState(t, "wait-for-all-2of3/pve1")
	if s.Quorate || !s.WaitForAll || s.TotalVotes < s.QuorumVotes {
		t.Errorf("%+v", s)
	}
	for _, l := range s.Links {
		if l.PeerID == 3 && (l.HasLatency || l.MTU.Known || l.DownCount != Some[uint64](1) || l.UpCount != Some[uint64](0)) {
			t.Errorf("a link that was never up: %+v", l)
		}
	}
}

func TestBothHalvesOfAPartitionShowTheirOwnLeader(t *testing.T) {
	leaders := map[string]uint32{}
	for _, n := range []string{"pve1", "pve2", "pve3"} {
		leaders[n] = recordedState(t, "partition-1-vs-23/"+n).Ring.V.LeaderID
	}
	if leaders["pve1"] != 1 || leaders["pve2"] != 2 || leaders["pve3"] != 2 {
		t.Error(leaders)
	}
}

func TestQDeviceStates(t *testing.T) {
	for state, want := range map[string]QDevice{
		"qdevice-2nodes-healthy/pve1":      {Configured: true, Votes: 1, Registered: true, Alive: true, CastVote: true},
		"qdevice-qnetd-down/pve1":          {Configured: true, Votes: 1, Registered: true, Alive: true},
		"qdevice-daemon-stopped-pve1/pve1": {Configured: true, Votes: 1},
		"healthy/pve1":                     {},
	} {
		if got := recordedState(t, state).QDevice; got != want {
			t.Errorf("%s: %+v, want %+v", state, got, want)
		}
	}
}

func TestCutLinkIsDownAndHasNoLatency(t *testing.T) {
	s := recordedState(t, "link0-down-on-pve3/pve1")
	for _, l := range s.Links {
		down := l.PeerID == 3 && l.Link == 0
		if l.Connected.V == down || l.HasLatency == down || l.MTU.Known == down {
			t.Errorf("%+v", l)
		}
	}
}

func TestTokenLostCountsAllStatesOfTheProtocol(t *testing.T) {
	for state, want := range map[string]uint64{
		"one-node-down/pve1":              0, // a clean leave
		"partition-1-vs-23/pve2":          1,
		"loss-40pct-both-links-pve3/pve2": 2, // in state commit only
	} {
		if got := recordedState(t, state).Totem.TokenLost; got != Some(want) {
			t.Errorf("%s: %+v, want %d", state, got, want)
		}
	}
}

func TestScheduleMissIsTheNewestOrUnknown(t *testing.T) {
	if m := recordedState(t, "healthy/pve1").Totem.ScheduleMiss; m.Known {
		t.Errorf("%+v", m)
	}
	var with []string
	_ = filepath.WalkDir(recordings, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "cmap-stats.txt" && strings.Contains(readFile(t, p), "schedmiss") {
			with = append(with, filepath.Dir(p))
		}
		return nil
	})
	if len(with) == 0 {
		t.Fatal("no recording with a schedule miss")
	}
	rel, _ := filepath.Rel(recordings, with[0])
	got := recordedState(t, rel).Totem.ScheduleMiss
	want := ScheduleMiss{At: time.UnixMilli(1795218921720), Delay: 13167849609 * time.Microsecond / 1000}
	if !got.Known || !got.V.At.Equal(want.At) || got.V.Delay.Round(time.Microsecond) != want.Delay.Round(time.Microsecond) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestSettingsComeFromTheRunningDaemon(t *testing.T) {
	s := recordedState(t, "healthy/pve1")
	if s.Totem.TokenTimeout != Some(3650*time.Millisecond) || s.Totem.ConsensusTimeout != Some(4380*time.Millisecond) ||
		s.ConfigVersion != Some[uint64](1) || s.Totem.SinceToken != Some(458*time.Millisecond) {
		t.Errorf("%+v", s)
	}
	l := s.Links[0]
	if l.Peer != "pve2" || l.LatencyAverage != 174*time.Microsecond || l.MTU != Some[uint64](1397) ||
		l.PingPackets != Some[uint64](92) || l.PongPackets != Some[uint64](92) || l.SendErrors != Some[uint64](0) {
		t.Errorf("%+v", l)
	}
}

// TestEveryKeyMayBeMissing takes the keys away one by one: what is left must still be read.
func TestEveryKeyMayBeMissing(t *testing.T) {
	dir := filepath.Join(recordings, "healthy/pve1")
	whole := recordedState(t, "healthy/pve1")
	for _, m := range []keyMap{configMap, statsMap} {
		for key := range loadRecorded(t, dir).maps[m] {
			r := loadRecorded(t, dir)
			delete(r.maps[m], key)
			s, err := readSnapshot(r)
			if key == "runtime.votequorum.this_node_id" {
				if err == nil {
					t.Error("a node that does not know itself has no view")
				}
				continue
			}
			if err != nil {
				t.Fatalf("without %s: %v", key, err)
			}
			if s.Quorate != whole.Quorate || s.TotalVotes != whole.TotalVotes {
				t.Errorf("without %s the quorum is another: %+v", key, s)
			}
			if m == statsMap && (len(s.Links) != len(whole.Links) || len(s.Members) != len(whole.Members)) {
				t.Errorf("without %s: %d links, %d members", key, len(s.Links), len(s.Members))
			}
		}
	}
}

func TestNamesFallBackToTheAddress(t *testing.T) {
	r := loadRecordedOrSkip(t, "healthy/pve1")
	delete(r.maps[configMap], "nodelist.node.1.name")
	delete(r.maps[configMap], "nodelist.node.2.name")
	delete(r.maps[configMap], "nodelist.node.2.ring0_addr")
	s, err := readSnapshot(r)
	if err != nil {
		t.Fatal(err)
	}
	if s.Members[1].Name != "10.77.0.2" || s.Members[2].Name != "3" {
		t.Errorf("%+v", s.Members)
	}
}

func TestMemberOutsideTheNodeListIsShown(t *testing.T) {
	r := loadRecordedOrSkip(t, "healthy/pve1")
	r.view.members = append(r.view.members, 77)
	r.nodes[77] = voteInfo{known: true, member: true, votes: 2}
	s, err := readSnapshot(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Members[3]; got != (Member{ID: 77, Name: "77", Up: true, Votes: 2}) || s.ConfiguredVotes != 3 {
		t.Errorf("%+v, configured %d", got, s.ConfiguredVotes)
	}
}

func TestQDeviceWithoutVotesSettingIsWorthAllNodesButOne(t *testing.T) {
	r := loadRecordedOrSkip(t, "qdevice-daemon-stopped-pve1/pve1")
	delete(r.maps[configMap], "quorum.device.votes")
	s, err := readSnapshot(r)
	if err != nil {
		t.Fatal(err)
	}
	if s.QDevice.Votes != 1 || s.ConfiguredVotes != 3 {
		t.Errorf("%+v, configured %d", s.QDevice, s.ConfiguredVotes)
	}
}

func loadRecordedOrSkip(t *testing.T, state string) *recorded {
	t.Helper()
	recordedState(t, state)
	return loadRecorded(t, filepath.Join(recordings, state))
}

func TestMembersAndLinksAreSorted(t *testing.T) {
	s := recordedState(t, "healthy/pve2")
	if !slices.IsSortedFunc(s.Members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) }) ||
		!slices.IsSortedFunc(s.Links, func(a, b Link) int { return cmp.Or(cmp.Compare(a.PeerID, b.PeerID), cmp.Compare(a.Link, b.Link)) }) {
		t.Errorf("%+v", s)
	}
}
