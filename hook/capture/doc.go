// Package capture reads and writes packet captures: packets in and out without
// an interface.
//
// [Open] reads pcap and pcapng, plain or gzip-compressed, as a stream: memory
// does not grow with the file. Every packet comes out as an Ethernet frame,
// because that is what programs expect; raw IP, Linux cooked and loopback
// captures get an Ethernet header with made-up addresses, and [Reader.Stats]
// says so. [Create] writes pcap or pcapng and leaves nothing half-written.
package capture
