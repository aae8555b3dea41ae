package load_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"sponge/pkg/protocol"
	"sponge/workers/load"
	"sponge/workers/workertest"
)

// storesVar lists how many accounts the stores of BenchmarkGrown have, such as
// "1000,1000000": each with a tenth as many groups, ten times as many messages,
// and one conversation of as many.
const storesVar = "SPONGE_BENCH_ACCOUNTS"

// BenchmarkGrown asks a worker, one frame at a time, for what reads rows. With
// another size of the store it should cost the same.
func BenchmarkGrown(b *testing.B) {
	sizes := os.Getenv(storesVar)
	if sizes == "" {
		sizes = "100"
	}
	for _, size := range strings.Split(sizes, ",") {
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil {
			b.Fatalf("%s: %v", storesVar, err)
		}
		sp := services.NewSpace(b)
		res, err := load.Load(b.Context(), sp.DB, load.Config{Accounts: n, Groups: n / 10, Messages: 10 * n, Long: n, Members: min(n, 10_000),
			Size: 100, Connections: 4, ArgonMemory: 64, ArgonIterations: 1, Progress: os.Stderr})
		if err != nil {
			b.Fatal(err)
		}
		sp.Run(b, sp.Config(b), workertest.Handlers(), nil)
		e := sp.NewEdge(b, "e1")
		first, some := e.Login(res.FirstAccount, 1), e.Login(13, 2)
		name, _ := e.Ask(some, `{"msgType":8}`)["friends"].([]any)[0].(map[string]any)["name"].(string)
		for _, c := range []struct {
			what  string
			who   workertest.Session
			frame string
		}{
			{"login", workertest.Session{Conn: 3}, fmt.Sprintf(`{"msgType":1,"USERID":13,"password":%q}`, res.Password)},
			{"chat", some, `{"msgType":4,"TOID":11,"msg":"hello"}`},
			{"14", some, `{"msgType":14}`},
			{"16, the end of a long conversation", first, fmt.Sprintf(`{"msgType":16,"TOID":%d,"limit":50}`, res.LastAccount)},
			{"16, its middle", first, fmt.Sprintf(`{"msgType":16,"TOID":%d,"before":%d,"limit":50}`, res.LastAccount, res.LongSeq/2)},
			{"16, its begin", first, fmt.Sprintf(`{"msgType":16,"TOID":%d,"after":0,"limit":50}`, res.LastAccount)},
			{"8, friends", some, `{"msgType":8}`},
			{"15, a whole name", some, fmt.Sprintf(`{"msgType":15,"keyword":%q}`, name)},
			{"15, a piece of many names", some, fmt.Sprintf(`{"msgType":15,"keyword":%q}`, name[:3])},
		} {
			b.Run(fmt.Sprintf("accounts=%d/%s", n, c.what), func(b *testing.B) {
				for b.Loop() {
					if r := e.Ask(c.who, c.frame); code(r) != int(protocol.OK) {
						b.Fatalf("%s: %v", c.frame, r)
					}
				}
			})
		}
	}
}
