// SPDX-License-Identifier: GPL-3.0-or-later
import { type FormEvent, useEffect, useRef, useState } from "react";
import { fetchSuggestions } from "../api.ts";

interface Props {
  onAdd: (name: string, quantity: number) => Promise<boolean>;
}

const SUGGEST_FROM = 2;
const SUGGEST_DELAY_MS = 150;

export function ItemForm({ onAdd }: Props) {
  const [name, setName] = useState("");
  const [quantity, setQuantity] = useState("1");
  const [busy, setBusy] = useState(false);
  const nameInput = useRef<HTMLInputElement>(null);
  const suggestions = useSuggestions(name);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    const added = await onAdd(name, Number(quantity));
    setBusy(false);
    if (added) {
      setName("");
      setQuantity("1");
      nameInput.current?.focus();
    }
  };

  return (
    <form className="item-form" data-testid="item-form" onSubmit={(event) => void submit(event)}>
      <label className="field field-name">
        <span>What do we need?</span>
        <input
          ref={nameInput}
          data-testid="item-name"
          name="name"
          value={name}
          onChange={(event) => setName(event.target.value)}
          placeholder="Cherry tomatoes"
          list="suggestions"
          maxLength={80}
          autoComplete="off"
          enterKeyHint="done"
          required
        />
      </label>
      <datalist id="suggestions">
        {suggestions.map((suggestion) => (
          <option key={suggestion} value={suggestion} />
        ))}
      </datalist>
      <label className="field field-quantity">
        <span>How many?</span>
        <input
          data-testid="item-quantity"
          name="quantity"
          type="number"
          inputMode="numeric"
          min={1}
          max={999}
          step={1}
          value={quantity}
          onChange={(event) => setQuantity(event.target.value)}
          required
        />
      </label>
      <button className="button" type="submit" data-testid="item-add" disabled={busy}>
        Add
      </button>
    </form>
  );
}

function useSuggestions(text: string): string[] {
  const [suggestions, setSuggestions] = useState<string[]>([]);
  const query = text.trim();
  useEffect(() => {
    if (query.length < SUGGEST_FROM) {
      setSuggestions([]);
      return;
    }
    const outdated = new AbortController();
    const timer = window.setTimeout(() => {
      fetchSuggestions(query, outdated.signal).then(setSuggestions, () => undefined);
    }, SUGGEST_DELAY_MS);
    return () => {
      window.clearTimeout(timer);
      outdated.abort();
    };
  }, [query]);
  return suggestions;
}
