// SPDX-License-Identifier: GPL-3.0-or-later
import type { Item } from "../api.ts";
import { CloseIcon } from "./icons.tsx";

export interface ItemActions {
  onTick: (item: Item, ticked: boolean) => void;
  onQuantity: (item: Item, quantity: number) => void;
  onRemove: (item: Item) => void;
}

const MAX_QUANTITY = 999;

export function ItemRow({ item, onTick, onQuantity, onRemove }: { item: Item } & ItemActions) {
  return (
    <li className="item" data-testid="item" data-ticked={item.ticked}>
      <label className="item-label">
        <input
          type="checkbox"
          checked={item.ticked}
          onChange={(event) => onTick(item, event.target.checked)}
        />
        <span className="item-text">
          <span className="item-name" dir="auto">
            {item.name}
          </span>
          <span className="item-author">{item.added_by}</span>
        </span>
      </label>
      <span
        className="chip"
        data-testid="item-aisle"
        data-aisle={item.aisle?.slug}
        data-sorting={item.aisle === null}
      >
        {item.aisle?.name ?? "sorting…"}
      </span>
      <Stepper item={item} onQuantity={onQuantity} />
      <button
        type="button"
        className="button-icon"
        aria-label={`Remove ${item.name}`}
        title="Remove"
        onClick={() => onRemove(item)}
      >
        <CloseIcon />
      </button>
    </li>
  );
}

function Stepper({ item, onQuantity }: { item: Item } & Pick<ItemActions, "onQuantity">) {
  const { name, quantity } = item;
  return (
    <span className="stepper" role="group" aria-label={`Quantity of ${name}`}>
      <button
        type="button"
        aria-label={`Fewer ${name}`}
        disabled={quantity <= 1}
        onClick={() => onQuantity(item, quantity - 1)}
      >
        −
      </button>
      <output>{quantity}</output>
      <button
        type="button"
        aria-label={`More ${name}`}
        disabled={quantity >= MAX_QUANTITY}
        onClick={() => onQuantity(item, quantity + 1)}
      >
        +
      </button>
    </span>
  );
}
