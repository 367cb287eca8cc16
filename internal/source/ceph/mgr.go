package ceph

import "sort"

// MgrStat is the answer to `mgr stat`.
type MgrStat struct {
	Epoch     int64
	Available bool
	Active    string // "" when there is none
}

// ParseMgrStat reads the answer to `mgr stat`.
func ParseMgrStat(b []byte) (MgrStat, error) {
	var raw struct {
		Epoch     flexInt  `json:"epoch"`
		Available flexBool `json:"available"`
		Active    string   `json:"active_name"`
	}
	err := decode("mgr stat", b, &raw)
	return MgrStat{Epoch: int64(raw.Epoch), Available: bool(raw.Available), Active: raw.Active}, err
}

// mgrMap is what `mgr stat` alone tells: the active manager and no other.
func (s MgrStat) mgrMap() MgrMap {
	m := MgrMap{Epoch: s.Epoch, Available: s.Available, Active: s.Active}
	if s.Active != "" {
		m.Mgrs = []Mgr{{Name: s.Active, Active: s.Available}}
	}
	return m
}

// MgrMap is the answer to `mgr dump`, without the option schemas that make it 96 kB.
type MgrMap struct {
	Epoch     int64
	Available bool
	Active    string // "" when there is none
	Mgrs      []Mgr  // the active one first
	Modules   []MgrModule

	alwaysOn map[string][]string // by release name
	enabled  []string
}

// A Mgr is one manager daemon.
type Mgr struct {
	Name     string
	Active   bool
	Hostname string // "" when its metadata is unknown
	Version  string // "" when unknown
}

// A MgrModule is a module of the active manager.
type MgrModule struct {
	Name     string
	CanRun   bool
	Enabled  bool
	AlwaysOn bool // cannot be switched off in this release
}

// ParseMgrDump reads the answer to `mgr dump`. Whether a module is always on depends on the
// release, see resolveModules.
func ParseMgrDump(b []byte) (MgrMap, error) {
	var raw struct {
		Epoch     flexInt  `json:"epoch"`
		Available flexBool `json:"available"`
		Active    string   `json:"active_name"`
		Standbys  []struct {
			Name string `json:"name"`
		} `json:"standbys"`
		Modules          []string `json:"modules"`
		AvailableModules []struct {
			Name   string   `json:"name"`
			CanRun flexBool `json:"can_run"`
		} `json:"available_modules"`
		AlwaysOn map[string][]string `json:"always_on_modules"`
	}
	if err := decode("mgr dump", b, &raw); err != nil {
		return MgrMap{}, err
	}
	m := MgrMap{
		Epoch: int64(raw.Epoch), Available: bool(raw.Available), Active: raw.Active,
		alwaysOn: raw.AlwaysOn, enabled: raw.Modules,
	}
	if raw.Active != "" {
		m.Mgrs = append(m.Mgrs, Mgr{Name: raw.Active, Active: bool(raw.Available)})
	}
	for _, s := range raw.Standbys {
		m.Mgrs = append(m.Mgrs, Mgr{Name: s.Name})
	}
	for _, a := range raw.AvailableModules {
		m.Modules = append(m.Modules, MgrModule{Name: a.Name, CanRun: bool(a.CanRun)})
	}
	sort.Slice(m.Modules, func(i, j int) bool { return m.Modules[i].Name < m.Modules[j].Name })
	return m, nil
}

// describe fills in what the managers said about themselves.
func (m *MgrMap) describe(meta map[string]DaemonMetadata) {
	for i := range m.Mgrs {
		d := meta[m.Mgrs[i].Name]
		m.Mgrs[i].Hostname, m.Mgrs[i].Version = d.Hostname, d.Version
	}
}

// resolveModules fills in what depends on the release.
func (m *MgrMap) resolveModules(release Release) {
	always, enabled := setOf(m.alwaysOn[release.Name()]), setOf(m.enabled)
	for i := range m.Modules {
		n := m.Modules[i].Name
		m.Modules[i].AlwaysOn, m.Modules[i].Enabled = always[n], always[n] || enabled[n]
	}
}

func setOf(names []string) map[string]bool {
	s := make(map[string]bool, len(names))
	for _, n := range names {
		s[n] = true
	}
	return s
}
