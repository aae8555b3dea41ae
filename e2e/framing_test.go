package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestSeparators puts what people put between frames, or nothing.
func TestSeparators(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		a := dial(t, c.edge(0))
		for _, separator := range []string{"\n", "", " ", "\t", "\r\n", "\n\n\n", " \n \r\n\t"} {
			var text strings.Builder
			for i := range 5 {
				fmt.Fprintf(&text, `%s{"msgType":0,"id":"%d"}`, separator, i)
			}
			a.write(text.String())
			for i := range 5 {
				a.must(a.next(), `{"msgType":100,"code":0,"id":"%d"}`, i)
			}
		}
	})
}

// TestByteAtATime sends frames in the smallest pieces a socket can carry.
func TestByteAtATime(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		pair := users(t, c, 2)
		a, b := pair[0], pair[1]
		text := fmt.Sprintf(`{"msgType":4,"TOID":%d,"msg":"号\"}{\\"}`+"\n", b.id) + `{"msgType":0}`
		for i := range len(text) {
			if err := a.link.write([]byte{text[i]}); err != nil {
				t.Fatal(err)
			}
		}
		ack := a.wantReply(`{"msgType":104,"code":0,"TOID":%d,"seq":1,"msgId":"$text","time":"$time"}`, b.id)
		a.wantReply(`{"msgType":100,"code":0}`)
		b.wantChat(a.id, `号"}{\`, ack)
	})
}

// TestText chats what is hard to carry, and compares what arrives.
func TestText(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		pair := users(t, c, 2)
		a, b := pair[0], pair[1]
		for _, msg := range []string{
			"你好 8号", "😀👩‍👩‍👧‍👦🇨🇳", `"quoted" \ and / and '`, "line\nbreak\r\n\ttab", "\u0000\u0001\u001f", "<b>&amp;</b>",
			"\u2028\u2029", "{}[],:", strings.Repeat("長", 5000), " ", "%s%d", "\uFEFF", "\U0010FFFF",
		} {
			b.wantChat(a.id, msg, a.chat(b.id, msg))
		}
		t.Log("the same text escaped otherwise, under escaped keys")
		ack := a.call(`{"msgT\u0079pe":4,"TO\u0049D":%d,"m\u0073g":"\u4f60\u597d\ud83d\ude00\/"}`, b.id)
		a.must(ack, `{"msgType":104,"code":0,"TOID":%d,"seq":"$id","msgId":"$text","time":"$time"}`, b.id)
		b.wantChat(a.id, "你好😀/", ack)
		t.Log("blanks within a frame")
		ack = a.call("\t{ \"msgType\" :\t4 , \"TOID\":%d , \"msg\" : \"x\" }\t", b.id)
		b.wantChat(a.id, "x", ack)
	})
}

// TestLargestFrame sends the largest frame allowed, and one a byte larger.
func TestLargestFrame(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		pair := users(t, c, 2)
		b := pair[1]
		for i, addr := range []string{c.edge(0), c.web} {
			a := login(t, addr, pair[0].account)
			head := fmt.Sprintf(`{"msgType":4,"TOID":%d,"msg":"`, b.id)
			msg := strings.Repeat("x", 64<<10-len(head)-len(`"}`))
			a.write(head + msg + `"}`)
			ack := a.wantReply(`{"msgType":104,"code":0,"TOID":%d,"seq":%d,"msgId":"$text","time":"$time"}`, b.id, i+1)
			b.wantChat(a.id, msg, ack)

			a.write(head + msg + `x"}`)
			a.wantFault(0, 413, "")
			a.wantNotice()
			a.wantClosed()
			t.Log("it was not taken for a message")
			b.must(b.call(`{"msgType":16,"TOID":%d,"after":%d}`, a.id, i+1),
				`{"msgType":116,"code":0,"messages":[],"more":false,"lastSeq":%d}`, i+1)
		}
		t.Log("others right behind it, and a large one of another type")
		a := login(t, c.edge(0), pair[0].account)
		ping := `{"msgType":0,"pad":"` + strings.Repeat("x", 64<<10-len(`{"msgType":0,"pad":""}`)) + `"}`
		a.write(ping + ping + `{"msgType":0}` + ping)
		for range 4 {
			a.wantReply(`{"msgType":100,"code":0}`)
		}
	})
}

// TestUnknownKeys are kept and passed on, but for those that the server sets.
func TestUnknownKeys(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		pair := users(t, c, 2)
		a, b := pair[0], pair[1]
		group := createGroup(a, b)
		const extra = `"toid":5,"Msg":"M","k":{"seq":[1,2.50,1e2,null,{"code":true}]},"big":12345678901234567890123,"长":"👍","":""`
		const dropped = `"seq":99,"msgId":"mine","time":1,"code":7,"error":"no"`
		ack := a.call(`{%s,"msgType":4,%s,"TOID":%d,"msg":"x","id":"keys"}`, dropped, extra, b.id)
		a.must(ack, `{"msgType":104,"code":0,"id":"keys","TOID":%d,"seq":1,"msgId":"$text","time":"$time"}`, b.id)
		b.wantPush(`{"msgType":4,%s,"FROMID":%d,"TOID":%d,"msg":"x","seq":1,"msgId":%s,"time":%d}`,
			extra, a.id, b.id, js(ack.str("msgId")), ack.int("time"))

		ack = a.call(`{"msgType":9,"GROUPID":%d,"msg":"x",%s,%s}`, group, extra, dropped)
		a.must(ack, `{"msgType":109,"code":0,"GROUPID":%d,"seq":1,"msgId":"$text","time":"$time"}`, group)
		b.wantPush(`{"msgType":9,%s,"FROMID":%d,"GROUPID":%d,"msg":"x","seq":1,"msgId":%s,"time":%d}`,
			extra, a.id, group, js(ack.str("msgId")), ack.int("time"))
		t.Log("and are kept in what is stored")
		b.must(b.call(`{"msgType":16,"GROUPID":%d,"after":0}`, group),
			`{"msgType":116,"code":0,"more":false,"lastSeq":1,"messages":[
			{"msgType":9,%s,"FROMID":%d,"GROUPID":%d,"msg":"x","seq":1,"msgId":%s,"time":%d}]}`,
			extra, a.id, group, js(ack.str("msgId")), ack.int("time"))
	})
}
