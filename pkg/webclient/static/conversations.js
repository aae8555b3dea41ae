// What was said: conversations with their messages by seq, and how holes between those
// are found and filled. It must not know the page.

import { T } from "./wire.js";

const page = 50;

/** "u:8" for a conversation with user 8, "g:7" for group 7. */
export const keyOf = (frame, me) =>
  frame.msgType === T.groupChat ? `g:${frame.GROUPID}` : `u:${frame.FROMID === me ? frame.TOID : frame.FROMID}`;

/** One conversation, as far as this page holds it. */
export class Conversation {
  name = "";
  online = null; // true or false for friends
  unread = 0;
  draft = ""; // what is typed and not sent
  messages = new Map(); // seq → {seq, from, text, time}
  seqs = []; // of messages, ascending
  unsent = []; // own messages without a seq: {from, text, frame, id, error}
  more = true; // older ones may be there
  opened = null; // the promise of the first open
  #wire;
  #gone = new Set(); // seqs behind which nothing could be found
  #filling = null;

  constructor(key, wire) {
    this.key = key;
    this.isGroup = key[0] === "g";
    this.id = Number(key.slice(2));
    this.addressee = this.isGroup ? { GROUPID: this.id } : { TOID: this.id };
    this.#wire = wire;
  }

  get last() {
    return this.seqs.at(-1) ?? 0;
  }

  /**
   * Takes a pushed frame and returns its message, or null if that was here already. Only
   * known keys are looked at: whatever else a sender put in the frame means nothing.
   */
  add({ seq, FROMID, msg, time }) {
    if (this.messages.has(seq)) return null;
    const message = { seq, from: FROMID, text: msg, time };
    this.messages.set(seq, message);
    this.seqs.splice(this.seqs.findLastIndex((s) => s < seq) + 1, 0, seq);
    return message;
  }

  #addAll(frames) {
    return frames.map((f) => this.add(f)).filter(Boolean);
  }

  /** Reads what belongs on the screen at first; afterwards, what was said since. All of these resolve with new messages. */
  async open() {
    if (this.opened) {
      await this.opened;
      return this.newer();
    }
    const held = this.seqs.length > 0;
    this.opened = this.older();
    try {
      const added = await this.opened;
      return held ? [...added, ...(await this.newer())] : added;
    } catch (error) {
      this.opened = null; // next time, perhaps
      throw error;
    }
  }

  /** Reads the newest page, or the one before what is held. */
  async older() {
    const first = this.seqs[0];
    const reply = await this.#history(first ? { before: first } : {});
    this.more = reply.more;
    return this.#addAll(reply.messages);
  }

  /** Reads on from the last message that is held, to the end. */
  async newer() {
    const added = [];
    for (let more = true; more; ) {
      const reply = await this.#history({ after: this.last });
      added.push(...this.#addAll(reply.messages));
      more = reply.more && reply.messages.length > 0;
    }
    return added;
  }

  /** Fills the holes between what is held; one call at a time, whoever asks. */
  fill() {
    this.#filling ??= this.#fill().finally(() => (this.#filling = null));
    return this.#filling;
  }

  /** The first hole, as the history that fills it, or the first part of it. */
  hole() {
    const { seqs } = this;
    const i = seqs.findIndex((seq, i) => i > 0 && seq !== seqs[i - 1] + 1 && !this.#gone.has(seqs[i - 1]));
    return i < 0 ? null : { after: seqs[i - 1], limit: Math.min(page, seqs[i] - seqs[i - 1] - 1) };
  }

  async #fill() {
    const added = [];
    for (let hole = this.hole(); hole; hole = this.hole()) {
      const reply = await this.#history(hole);
      const found = this.#addAll(reply.messages);
      if (found.length === 0) this.#gone.add(hole.after);
      added.push(...found);
    }
    return added;
  }

  #history(range) {
    return this.#wire.request({ msgType: T.history, ...this.addressee, limit: page, ...range });
  }
}
