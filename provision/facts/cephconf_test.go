package facts

import "testing"

func TestCephConfIsReadWithBlanksAndUnderscores(t *testing.T) {
	got := ParseCephConf("[global]\n\tpublic network = 10.0.0.0/24\n\tcluster-network = 10.1.0.0/24\n# fsid = no\n[client]\n\tpublic network = 10.9.0.0/24\n", "global")
	if got["public_network"] != "10.0.0.0/24" || got["cluster_network"] != "10.1.0.0/24" || len(got) != 2 {
		t.Errorf("got %v", got)
	}
}
