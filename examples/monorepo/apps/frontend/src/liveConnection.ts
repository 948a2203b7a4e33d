// SPDX-License-Identifier: GPL-3.0-or-later
export interface LiveHandlers {
  /** Something may have changed: fetch again. */
  onChange(): void;
  onState(live: boolean): void;
}

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;

/** Doubles with every failed attempt; the jitter keeps browsers from returning all at once. */
export function retryDelay(attempt: number, random: () => number = Math.random): number {
  const delay = Math.min(FIRST_DELAY_MS * 2 ** attempt, LONGEST_DELAY_MS);
  return delay * (0.5 + random() / 2);
}

/**
 * Keeps a WebSocket open and returns the function that ends it.
 *
 * Messages only say that something changed. After every reconnection, and after every failed
 * attempt, `onChange` makes up for the messages that were missed.
 */
export function connectLive(url: string, { onChange, onState }: LiveHandlers): () => void {
  let socket: WebSocket | undefined;
  let timer: number | undefined;
  let attempt = 0;
  let ended = false;

  const open = (): void => {
    socket = new WebSocket(url);
    socket.onopen = () => {
      attempt = 0;
      onState(true);
      onChange();
    };
    socket.onmessage = onChange;
    socket.onclose = () => {
      if (ended) {
        return;
      }
      onState(false);
      onChange();
      timer = window.setTimeout(open, retryDelay(attempt));
      attempt += 1;
    };
  };

  open();
  return () => {
    ended = true;
    window.clearTimeout(timer);
    socket?.close();
  };
}
