// Package linkprobe measures the round-trip time and the loss to every peer on every corosync link.
//
// knet's own latency_ave is a mean over up to 2048 pings in integer microseconds: a jump from
// 0.35 ms to 5 ms shows after half an hour, one of less than 2 ms never. So exporters echo each
// other over UDP between the ring addresses, and where the peer runs no exporter they send ICMP
// echo requests.
//
//	Config.Peers ──(every 30 s)──► Prober.Run ──► one peerLink for each peer and link ──► Observer
//	                                        └───► one responder for each own ring address
//
// What is never done is to guess: a round is counted only when the way it was measured had been
// chosen before the round began and had been answered before on this peer link. A firewall between
// two healthy nodes therefore gives no numbers instead of 100 % loss.
//
// The echo is safe to leave open on a ring network: packets are authenticated with a key made from
// the cluster's authkey, a reply is as large as its request, goes only to a ring address of the
// node that the request names as its sender, and their rate is bounded.
//
// Goroutines: Run owns all of them and returns after the last has ended. No other function starts
// one.
package linkprobe
