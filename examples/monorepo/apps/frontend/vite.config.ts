// SPDX-License-Identifier: GPL-3.0-or-later
import react from "@vitejs/plugin-react";
import { loadEnv } from "vite";
import { defineConfig } from "vitest/config";

export default defineConfig(({ mode }) => {
  const env = loadEnv(mode, ".", "");
  return {
    plugins: [react()],
    build: {
      // Small files would become data: URLs, which a strict Content-Security-Policy refuses.
      assetsInlineLimit: 0,
    },
    server: {
      host: "0.0.0.0",
      port: 3000,
      strictPort: true,
      // The proxy in front decides which names reach the development server.
      allowedHosts: env.DEV_ALLOWED_HOSTS ? env.DEV_ALLOWED_HOSTS.split(",") : true,
      proxy: {
        "/api": {
          target: env.BACKEND_URL || "http://backend:8000",
          ws: true,
          rewrite: (path) => path.replace(/^\/api/, ""),
        },
      },
    },
    test: {
      environment: "node",
    },
  };
});
